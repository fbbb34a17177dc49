//! What was decided.

use lacuna_jit::Isa;

use super::desc::RowFunction;
use crate::epilogue::Activation;
use crate::layout::padded;
use crate::{Plan, TILE};

/// A decided element-wise kernel: four rows of up to 64 tokens at a time.
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
        padded(self.features) * TILE
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
