//! What was decided.

use lacuna_jit::Isa;

use super::desc::SoftmaxDesc;
use crate::rows::{check_features, tile_elements};
use crate::{KernelError, Plan};

/// Accumulators per vector of columns, for even and for odd features.
pub(super) const CHAINS: usize = 2;

impl SoftmaxDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if F is 0 or too large.
    pub fn plan(&self, isa: Isa) -> Result<SoftmaxPlan, KernelError> {
        check_features("softmax", self.features)?;
        Ok(SoftmaxPlan { isa: isa.or_portable_for_avx2(), features: self.features })
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
        tile_elements(self.features)
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
