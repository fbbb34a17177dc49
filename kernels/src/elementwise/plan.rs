//! What was decided.

use lacuna_jit::{Code, Isa, JitError};

use super::emit;
use crate::cache::AnyPlan;
use crate::layout::padded;
use crate::{Activation, Plan, Sink, TILE};

/// A decided element-wise kernel: four rows of up to 64 tokens at a time.
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
        padded(self.features) * TILE
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

    fn generate(&self) -> Result<Code, JitError> {
        emit::emit(self)
    }

    fn key(&self) -> AnyPlan {
        AnyPlan::Elementwise(*self)
    }
}
