//! What the caller wants and what was decided: with one form only, nearly the same.

use lacuna_jit::Isa;

use super::kernel::EmbeddingKernel;
use crate::layout::padded;
use crate::rows::check_features;
use crate::{KernelError, Plan, TILE};

/// An embedding wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EmbeddingDesc {
    /// Features F.
    pub features: usize,
}

impl EmbeddingDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if F is 0 or too large.
    pub fn plan(&self, isa: Isa) -> Result<EmbeddingPlan, KernelError> {
        check_features("embedding", self.features)?;
        Ok(EmbeddingPlan { isa, features: self.features })
    }

    /// Plans and compiles through the process-wide cache.
    ///
    /// # Errors
    /// Those of [`EmbeddingDesc::plan`] and [`EmbeddingKernel::compile`].
    pub fn compile(&self, isa: Isa) -> Result<EmbeddingKernel, KernelError> {
        EmbeddingKernel::compile(self.plan(isa)?)
    }
}

/// A decided embedding: blocks of 16 tokens x 16 features, transposed in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EmbeddingPlan {
    isa: Isa,
    pub(super) features: usize,
}

impl EmbeddingPlan {
    /// Features F.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Elements of one tile.
    pub(crate) fn tile_elements(&self) -> usize {
        padded(self.features) * TILE
    }
}

impl Plan for EmbeddingPlan {
    fn name(&self) -> String {
        format!("embedding-f32-{}-f{}", self.isa, self.features)
    }

    fn isa(&self) -> Isa {
        self.isa
    }
}
