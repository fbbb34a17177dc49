//! What the caller wants.

use crate::{ActivationBits, PanelLayout};

/// A layernorm wanted. Its parameters are data ([`super::NormRows`]): layers of equal width share the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LayerNormDesc {
    /// Features F.
    pub features: usize,
    /// Whether the f32 tile is written, in place. Otherwise it does not change.
    pub f32: bool,
    /// The layout of the panel of codes that is written, if one is.
    pub panel: Option<PanelLayout>,
    /// Bits of these codes.
    pub activation_bits: ActivationBits,
}
