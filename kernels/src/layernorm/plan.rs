//! What was decided.

use lacuna_jit::Isa;

use super::desc::LayerNormDesc;
use crate::rows::{check_features, tile_elements};
use crate::{ActivationBits, KernelError, PanelLayout, Plan, Sign};

/// The most features whose mean is the shift: 64 rows of a tile are 16 KiB, which stay in L1.
const SHIFT_FEATURES: usize = 64;
/// Sums that are kept per statistic and added in the end, so that one addition need not wait for the last.
pub(super) const CHAINS: usize = 2;

impl LayerNormDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if F is 0 or too large, [`KernelError::Mismatch`] if nothing is written.
    pub fn plan(&self, isa: Isa) -> Result<LayerNormPlan, KernelError> {
        check_features("layernorm", self.features)?;
        let &LayerNormDesc { features, f32, panel, activation_bits } = self;
        if !f32 && panel.is_none() {
            return Err(KernelError::Mismatch {
                kernel: "layernorm".into(),
                found: "no output".into(),
                expected: "an f32 tile, a panel, or both".into(),
            });
        }
        Ok(LayerNormPlan { isa, features, f32, panel, activation_bits })
    }
}

/// A decided layernorm: the shift, one pass for mean and variance about it, one pass that normalises and quantises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LayerNormPlan {
    pub(super) isa: Isa,
    pub(super) features: usize,
    pub(super) f32: bool,
    pub(super) panel: Option<PanelLayout>,
    pub(super) activation_bits: ActivationBits,
}

impl LayerNormPlan {
    /// What it was planned for.
    pub fn desc(&self) -> LayerNormDesc {
        LayerNormDesc {
            features: self.features,
            f32: self.f32,
            panel: self.panel,
            activation_bits: self.activation_bits,
        }
    }

    /// Features F.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Whether the f32 tile is written.
    pub fn writes_f32(&self) -> bool {
        self.f32
    }

    /// The layout of the panel, if one is written.
    pub fn panel(&self) -> Option<PanelLayout> {
        self.panel
    }

    /// What the bytes of the panel are.
    pub fn sign(&self) -> Sign {
        Sign::of(self.activation_bits)
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
        let LayerNormPlan { isa, features, f32, panel, activation_bits } = self;
        let output = match panel {
            None => "f32".to_owned(),
            Some(layout) if *f32 => layout.name().to_owned(),
            Some(layout) => format!("{}-only", layout.name()),
        };
        let bits = match (activation_bits, panel) {
            (ActivationBits::Seven, Some(_)) => "-u7",
            _ => "",
        };
        format!("layernorm-f32-{isa}-f{features}-{output}{bits}")
    }

    fn isa(&self) -> Isa {
        self.isa
    }
}
