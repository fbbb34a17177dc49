//! What was decided.

use lacuna_jit::Isa;

use super::desc::EmbeddingDesc;
use crate::rows::{check_features, tile_elements};
use crate::{KernelError, Plan};

impl EmbeddingDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if F is 0 or too large.
    pub fn plan(&self, isa: Isa) -> Result<EmbeddingPlan, KernelError> {
        check_features("embedding", self.features)?;
        Ok(EmbeddingPlan { isa: isa.or_portable_for_avx2(), features: self.features })
    }
}

/// A decided embedding: blocks of 16 columns x 16 features, transposed in registers.
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
        tile_elements(self.features)
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
