//! What the caller wants, and what was decided.

use lacuna_jit::{Code, Isa, JitError};

use super::emit;
use super::kernel::TokenRescaleKernel;
use crate::cache::AnyPlan;
use crate::layout::padded;
use crate::rows::check_features;
use crate::{KernelError, Plan, Sink, Store, TILE};

/// A rescaling wanted. Biases and the scales of the panel are data ([`super::RescaleRows`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenRescaleDesc {
    /// Features M.
    pub features: usize,
    /// Where the results go: codes or f32. An f32 store without residual replaces the sums; with residual, the results are added to another
    /// tile. The activation is computed in f32 for each: [`crate::math::gelu`], not its coarse form.
    pub sink: Sink,
}

impl TokenRescaleDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if M is 0 or too large, [`KernelError::Mismatch`] for bf16 output.
    pub fn plan(&self, isa: Isa) -> Result<TokenRescalePlan, KernelError> {
        check_features("token rescaling", self.features)?;
        if self.sink.store == Store::Bf16 {
            return Err(KernelError::Mismatch {
                kernel: "token rescaling".into(),
                found: "bf16 output".into(),
                expected: "8-bit or f32 output".into(),
            });
        }
        Ok(TokenRescalePlan { isa, features: self.features, sink: self.sink })
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
    pub(super) sink: Sink,
}

impl TokenRescalePlan {
    /// Features M.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Where the results go.
    pub fn sink(&self) -> &Sink {
        &self.sink
    }

    /// Whether the results replace the sums.
    pub fn is_in_place(&self) -> bool {
        self.sink.store == Store::F32 { residual: false }
    }

    /// Elements of one tile, f32 or panel.
    pub(super) fn tile_elements(&self) -> usize {
        padded(self.features) * TILE
    }
}

impl Plan for TokenRescalePlan {
    fn name(&self) -> String {
        let TokenRescalePlan { isa, features, sink } = self;
        format!("tokenrescale-f32-{isa}-f{features}-{}", sink.name())
    }

    fn isa(&self) -> Isa {
        self.isa
    }

    fn generate(&self) -> Result<Code, JitError> {
        emit::emit(self)
    }

    fn key(&self) -> AnyPlan {
        AnyPlan::TokenRescale(*self)
    }
}
