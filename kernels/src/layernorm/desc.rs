//! What the caller wants.

use crate::PanelLayout;

/// What a layernorm writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayerNormOutput {
    /// The f32 tile, in place: the last layer.
    F32,
    /// A u8 panel; the f32 tile stays as it is.
    Panel(PanelLayout),
    /// The f32 tile, in place, and a u8 panel.
    Both(PanelLayout),
}

impl LayerNormOutput {
    /// The layout of the panel, if one is written.
    pub fn panel(self) -> Option<PanelLayout> {
        match self {
            LayerNormOutput::F32 => None,
            LayerNormOutput::Panel(layout) | LayerNormOutput::Both(layout) => Some(layout),
        }
    }

    /// Whether the f32 tile is written.
    pub fn writes_f32(self) -> bool {
        !matches!(self, LayerNormOutput::Panel(_))
    }
}

/// A layernorm wanted. Its parameters are data ([`super::NormRows`]): layers of equal width share the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LayerNormDesc {
    /// Features F.
    pub features: usize,
    /// What is written.
    pub output: LayerNormOutput,
}
