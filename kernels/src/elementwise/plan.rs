//! What was decided.

use lacuna_jit::Isa;

use super::desc::{ElementwiseDesc, RowFunction};
use crate::epilogue::Activation;
use crate::rows::{check_features, tile_elements};
use crate::{KernelError, Plan};

impl ElementwiseDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if F is 0 or too large, [`KernelError::Mismatch`] for no function at all.
    pub fn plan(&self, isa: Isa) -> Result<ElementwisePlan, KernelError> {
        check_features("elementwise", self.features)?;
        if self.function == RowFunction::Activate(Activation::Identity) {
            return Err(KernelError::Mismatch {
                kernel: "elementwise".into(),
                found: "no activation of an f32 tile in place".into(),
                expected: "an activation, or a panel as output".into(),
            });
        }
        Ok(ElementwisePlan { isa, features: self.features, function: self.function })
    }
}

/// A decided element-wise kernel: four rows of up to 64 columns at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ElementwisePlan {
    pub(super) isa: Isa,
    pub(super) features: usize,
    pub(super) function: RowFunction,
}

impl ElementwisePlan {
    /// Features F.
    pub fn features(&self) -> usize {
        self.features
    }

    /// What happens to the elements.
    pub fn function(&self) -> RowFunction {
        self.function
    }

    /// Elements of one tile, f32 or panel.
    pub(super) fn tile_elements(&self) -> usize {
        tile_elements(self.features)
    }
}

impl Plan for ElementwisePlan {
    fn name(&self) -> String {
        let ElementwisePlan { isa, features, function } = self;
        let verb = match function.activation() {
            Activation::Identity => "quantize",
            activation => activation.name(),
        };
        let output =
            function.panel().map_or("f32".to_owned(), |(layout, sign)| format!("{}-{}", sign.name(), layout.name()));
        format!("{verb}-f32-{isa}-f{features}-{output}")
    }

    fn isa(&self) -> Isa {
        self.isa
    }
}
