//! What the caller wants, and what was decided.

use lacuna_jit::Isa;

use super::kernel::TokenRescaleKernel;
use crate::epilogue::Activation;
use crate::layout::padded;
use crate::rows::check_features;
use crate::{KernelError, PanelLayout, Plan, Sign, TILE};

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
    fn name(self) -> String {
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
pub struct TokenRescaleDesc {
    /// Features M.
    pub features: usize,
    /// What becomes of the results.
    pub output: RescaleOutput,
}

impl TokenRescaleDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if M is 0 or too large.
    pub fn plan(&self, isa: Isa) -> Result<TokenRescalePlan, KernelError> {
        check_features("token rescaling", self.features)?;
        Ok(TokenRescalePlan { isa, features: self.features, output: self.output })
    }

    /// Plans and compiles through the process-wide cache.
    ///
    /// # Errors
    /// Those of [`TokenRescaleDesc::plan`] and [`TokenRescaleKernel::compile`].
    pub fn compile(&self, isa: Isa) -> Result<TokenRescaleKernel, KernelError> {
        TokenRescaleKernel::compile(self.plan(isa)?)
    }
}

/// A decided rescaling: four rows of up to 64 tokens at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenRescalePlan {
    pub(super) isa: Isa,
    pub(super) features: usize,
    pub(super) output: RescaleOutput,
}

impl TokenRescalePlan {
    /// Features M.
    pub fn features(&self) -> usize {
        self.features
    }

    /// What becomes of the results.
    pub fn output(&self) -> RescaleOutput {
        self.output
    }

    /// Elements of one tile, f32 or panel.
    pub(super) fn tile_elements(&self) -> usize {
        padded(self.features) * TILE
    }
}

impl Plan for TokenRescalePlan {
    fn name(&self) -> String {
        let TokenRescalePlan { isa, features, output } = self;
        format!("tokenrescale-f32-{isa}-f{features}-{}", output.name())
    }

    fn isa(&self) -> Isa {
        self.isa
    }
}
