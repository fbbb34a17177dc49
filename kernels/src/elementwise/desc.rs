//! What the caller wants.

use crate::epilogue::Activation;
use crate::{PanelLayout, Sign};

/// What happens to the elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowFunction {
    /// An activation, in place; not [`Activation::Identity`].
    Activate(Activation),
    /// Quantisation to a panel.
    Quantize {
        /// Applied before.
        activation: Activation,
        /// Panel layout.
        layout: PanelLayout,
        /// u8 or s8.
        sign: Sign,
    },
}

impl RowFunction {
    /// The function before a quantisation, or alone.
    pub(super) fn activation(self) -> Activation {
        match self {
            RowFunction::Activate(activation) | RowFunction::Quantize { activation, .. } => activation,
        }
    }

    /// Layout and sign of the panel, if one is written.
    pub(super) fn panel(self) -> Option<(PanelLayout, Sign)> {
        match self {
            RowFunction::Activate(_) => None,
            RowFunction::Quantize { layout, sign, .. } => Some((layout, sign)),
        }
    }
}

/// An element-wise function wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ElementwiseDesc {
    /// Features F.
    pub features: usize,
    /// What happens to the elements.
    pub function: RowFunction,
}
