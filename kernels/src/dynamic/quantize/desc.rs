//! What the caller wants.

use crate::{ActivationBits, PanelLayout};

/// A quantisation wanted. Its scales per feature are data ([`super::FeatureScales`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColumnQuantDesc {
    /// Features K.
    pub features: usize,
    /// Layout of the panel.
    pub layout: PanelLayout,
    /// Bits of the codes.
    pub activation_bits: ActivationBits,
}
