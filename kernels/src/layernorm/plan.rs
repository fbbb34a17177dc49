//! What was decided.

use lacuna_jit::Isa;

use super::desc::{LayerNormDesc, LayerNormOutput};
use crate::rows::{check_features, tile_elements};
use crate::{KernelError, Plan};

/// The most features whose mean is the shift: 64 rows of a tile are 16 KiB, which stay in L1.
const SHIFT_FEATURES: usize = 64;
/// Sums that are kept per statistic and added in the end, so that one addition need not wait for the last.
pub(super) const CHAINS: usize = 2;

impl LayerNormDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if F is 0 or too large.
    pub fn plan(&self, isa: Isa) -> Result<LayerNormPlan, KernelError> {
        check_features("layernorm", self.features)?;
        Ok(LayerNormPlan { isa, features: self.features, output: self.output })
    }
}

/// A decided layernorm: the shift, one pass for mean and variance about it, one pass that normalises and quantises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LayerNormPlan {
    pub(super) isa: Isa,
    pub(super) features: usize,
    pub(super) output: LayerNormOutput,
}

impl LayerNormPlan {
    /// What it was planned for.
    pub fn desc(&self) -> LayerNormDesc {
        LayerNormDesc { features: self.features, output: self.output }
    }

    /// Features F.
    pub fn features(&self) -> usize {
        self.features
    }

    /// What is written.
    pub fn output(&self) -> LayerNormOutput {
        self.output
    }

    /// Features whose mean is the shift.
    pub(super) fn shift_features(&self) -> usize {
        self.features.min(SHIFT_FEATURES)
    }

    /// Elements of one tile, f32 or panel.
    pub(crate) fn tile_elements(&self) -> usize {
        tile_elements(self.features)
    }
}

impl Plan for LayerNormPlan {
    fn name(&self) -> String {
        let LayerNormPlan { isa, features, output } = self;
        let output = match output {
            LayerNormOutput::F32 => "f32".to_owned(),
            LayerNormOutput::Panel(layout) => format!("{}-only", layout.name()),
            LayerNormOutput::Both(layout) => layout.name().to_owned(),
        };
        format!("layernorm-f32-{isa}-f{features}-{output}")
    }

    fn isa(&self) -> Isa {
        self.isa
    }
}
