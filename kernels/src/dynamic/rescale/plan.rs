//! What was decided.

use lacuna_jit::Isa;

use super::desc::{ColumnRescaleDesc, RescaleOutput};
use crate::rows::{check_features, tile_elements};
use crate::{KernelError, Plan};

impl ColumnRescaleDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if M is 0 or too large.
    pub fn plan(&self, isa: Isa) -> Result<ColumnRescalePlan, KernelError> {
        check_features("column rescaling", self.features)?;
        Ok(ColumnRescalePlan { isa, features: self.features, output: self.output })
    }
}

/// A decided rescaling: four rows of up to 64 columns at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColumnRescalePlan {
    pub(super) isa: Isa,
    pub(super) features: usize,
    pub(super) output: RescaleOutput,
}

impl ColumnRescalePlan {
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
        tile_elements(self.features)
    }
}

impl Plan for ColumnRescalePlan {
    fn name(&self) -> String {
        let ColumnRescalePlan { isa, features, output } = self;
        format!("tokenrescale-f32-{isa}-f{features}-{}", output.name())
    }

    fn isa(&self) -> Isa {
        self.isa
    }
}
