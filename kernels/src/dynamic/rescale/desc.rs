//! What the caller wants.

use crate::epilogue::Activation;
use crate::{PanelLayout, Sign};

/// What becomes of y.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RescaleOutput {
    /// Its activation replaces the sums.
    InPlace(Activation),
    /// It is added to another f32 tile: the residual stream.
    Residual,
    /// It is quantised to a panel.
    Panel {
        /// Applied before.
        activation: Activation,
        /// Panel layout.
        layout: PanelLayout,
        /// u8 or s8.
        sign: Sign,
    },
}

impl RescaleOutput {
    /// What is applied to y, in f32 precision: [`crate::math::gelu`], not its coarse form.
    pub fn activation(self) -> Activation {
        match self {
            RescaleOutput::InPlace(activation) | RescaleOutput::Panel { activation, .. } => activation,
            RescaleOutput::Residual => Activation::Identity,
        }
    }

    /// The name used in kernel names: `f32`, `gelu-f32`, `f32-residual`, `u8-plain`, `gelu-u8-plain`.
    pub(super) fn name(self) -> String {
        let store = match self {
            RescaleOutput::InPlace(_) => "f32".to_owned(),
            RescaleOutput::Residual => "f32-residual".to_owned(),
            RescaleOutput::Panel { layout, sign, .. } => format!("{}-{}", sign.name(), layout.name()),
        };
        match self.activation() {
            Activation::Identity => store,
            activation => format!("{}-{store}", activation.name()),
        }
    }
}

/// A rescaling wanted. Biases and the scales of the panel are data ([`super::RescaleRows`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColumnRescaleDesc {
    /// Features M.
    pub features: usize,
    /// What becomes of the results.
    pub output: RescaleOutput,
}
