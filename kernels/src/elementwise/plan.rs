//! What was decided.

use lacuna_jit::Isa;

use super::desc::ElementwiseDesc;
use crate::rows::{check_features, tile_elements};
use crate::{Activation, KernelError, Plan, Sink, Store};

impl ElementwiseDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if F is 0 or too large, [`KernelError::Mismatch`] for no function at all, for bf16 and for
    /// residual output.
    pub fn plan(&self, isa: Isa) -> Result<ElementwisePlan, KernelError> {
        check_features("elementwise", self.features)?;
        let refused = |found: &str, expected: &str| {
            Err(KernelError::Mismatch { kernel: "elementwise".into(), found: found.into(), expected: expected.into() })
        };
        match (self.sink.activation, self.sink.store) {
            (Activation::Identity, Store::F32 { residual: false }) => {
                refused("no activation of an f32 tile in place", "an activation, or a panel as output")
            }
            (_, Store::Bf16 | Store::F32 { residual: true }) => {
                refused(&format!("{} output", self.sink.store.name()), "f32 output in place, or a panel of codes")
            }
            _ => Ok(ElementwisePlan { isa, features: self.features, sink: self.sink }),
        }
    }
}

/// A decided element-wise kernel: four rows of up to 64 columns at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ElementwisePlan {
    pub(super) isa: Isa,
    pub(super) features: usize,
    pub(super) sink: Sink,
}

impl ElementwisePlan {
    /// Features F.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Where the results go.
    pub fn sink(&self) -> &Sink {
        &self.sink
    }

    /// Elements of one tile, f32 or panel.
    pub(super) fn tile_elements(&self) -> usize {
        tile_elements(self.features)
    }
}

impl Plan for ElementwisePlan {
    fn name(&self) -> String {
        let ElementwisePlan { isa, features, sink } = self;
        let verb = match sink.activation {
            Activation::Identity => "quantize",
            activation => activation.name(),
        };
        format!("{verb}-f32-{isa}-f{features}-{}", sink.store.name())
    }

    fn isa(&self) -> Isa {
        self.isa
    }
}
