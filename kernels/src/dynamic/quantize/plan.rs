//! What was decided.

use lacuna_jit::Isa;

use super::desc::ColumnQuantDesc;
use crate::rows::{check_features, tile_elements};
use crate::{ActivationBits, KernelError, PanelLayout, Plan, Sign};

impl ColumnQuantDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if K is 0 or too large.
    pub fn plan(&self, isa: Isa) -> Result<ColumnQuantPlan, KernelError> {
        check_features("column quantisation", self.features)?;
        let &ColumnQuantDesc { features, layout, activation_bits } = self;
        Ok(ColumnQuantPlan { isa, features, layout, activation_bits })
    }
}

/// A decided quantisation: one pass for the maxima, one that writes codes, four rows of up to 64 columns at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColumnQuantPlan {
    pub(super) isa: Isa,
    pub(super) features: usize,
    pub(super) layout: PanelLayout,
    pub(super) activation_bits: ActivationBits,
}

impl ColumnQuantPlan {
    /// What it was planned for.
    pub fn desc(&self) -> ColumnQuantDesc {
        let &ColumnQuantPlan { features, layout, activation_bits, .. } = self;
        ColumnQuantDesc { features, layout, activation_bits }
    }

    /// Features K.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Layout of the panel.
    pub fn layout(&self) -> PanelLayout {
        self.layout
    }

    /// What the bytes of the panel are.
    pub fn sign(&self) -> Sign {
        Sign::of(self.activation_bits)
    }

    /// Elements of one tile, f32 or panel.
    pub(super) fn tile_elements(&self) -> usize {
        tile_elements(self.features)
    }
}

impl Plan for ColumnQuantPlan {
    fn name(&self) -> String {
        let ColumnQuantPlan { isa, features, layout, activation_bits } = self;
        format!("tokenquant-f32-{isa}-f{features}-{}-{}", activation_bits.name(), layout.name())
    }

    fn isa(&self) -> Isa {
        self.isa
    }
}
