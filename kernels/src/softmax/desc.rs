//! What the caller wants and what was decided: with one form only, nearly the same.

use lacuna_jit::Isa;

use super::kernel::SoftmaxKernel;
use crate::layout::padded;
use crate::rows::check_features;
use crate::{KernelError, Plan, TILE};

/// A softmax wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SoftmaxDesc {
    /// Features F.
    pub features: usize,
}

impl SoftmaxDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if F is 0 or too large.
    pub fn plan(&self, isa: Isa) -> Result<SoftmaxPlan, KernelError> {
        check_features("softmax", self.features)?;
        Ok(SoftmaxPlan { isa, features: self.features })
    }

    /// Plans and compiles through the process-wide cache.
    ///
    /// # Errors
    /// Those of [`SoftmaxDesc::plan`] and [`SoftmaxKernel::compile`].
    pub fn compile(&self, isa: Isa) -> Result<SoftmaxKernel, KernelError> {
        SoftmaxKernel::compile(self.plan(isa)?)
    }
}

/// A decided softmax: three passes over the rows of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SoftmaxPlan {
    isa: Isa,
    pub(super) features: usize,
}

impl SoftmaxPlan {
    /// Features F.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Elements of one tile.
    pub(super) fn tile_elements(&self) -> usize {
        padded(self.features) * TILE
    }
}

impl Plan for SoftmaxPlan {
    fn name(&self) -> String {
        format!("softmax-f32-{}-f{}", self.isa, self.features)
    }

    fn isa(&self) -> Isa {
        self.isa
    }
}
