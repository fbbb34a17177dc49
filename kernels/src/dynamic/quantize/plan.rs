//! What was decided.

use lacuna_jit::Isa;

use super::desc::ColumnQuantDesc;
use crate::rows::{check_features, tile_elements};
use crate::{KernelError, PanelLayout, Plan};

impl ColumnQuantDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if K is 0 or too large.
    pub fn plan(&self, isa: Isa) -> Result<ColumnQuantPlan, KernelError> {
        check_features("column quantisation", self.features)?;
        Ok(ColumnQuantPlan { isa, features: self.features, layout: self.layout })
    }
}

/// A decided quantisation: one pass for the maxima, one that writes codes, four rows of up to 64 columns at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColumnQuantPlan {
    pub(super) isa: Isa,
    pub(super) features: usize,
    pub(super) layout: PanelLayout,
}

impl ColumnQuantPlan {
    /// Features K.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Layout of the panel.
    pub fn layout(&self) -> PanelLayout {
        self.layout
    }

    /// Elements of one tile, f32 or panel.
    pub(super) fn tile_elements(&self) -> usize {
        tile_elements(self.features)
    }
}

impl Plan for ColumnQuantPlan {
    fn name(&self) -> String {
        let ColumnQuantPlan { isa, features, layout } = self;
        format!("tokenquant-f32-{isa}-f{features}-u8-{}", layout.name())
    }

    fn isa(&self) -> Isa {
        self.isa
    }
}
