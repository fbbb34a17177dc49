//! What the caller wants.

use lacuna_jit::Isa;

use super::kernel::LayerNormKernel;
use super::plan::LayerNormPlan;
use crate::rows::check_features;
use crate::{KernelError, PanelLayout};

/// A layernorm wanted. Its parameters are data ([`super::LayerNormWeights`]): layers of equal width share the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LayerNormDesc {
    /// Features F.
    pub features: usize,
    /// Whether the f32 tile is written, in place; else it stays as it is.
    pub f32: bool,
    /// The layout of the u8 panel that is written, if one is.
    pub panel: Option<PanelLayout>,
}

impl LayerNormDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if F is 0 or too large, [`KernelError::Mismatch`] if nothing is written.
    pub fn plan(&self, isa: Isa) -> Result<LayerNormPlan, KernelError> {
        check_features("layernorm", self.features)?;
        let &LayerNormDesc { features, f32, panel } = self;
        if !f32 && panel.is_none() {
            return Err(KernelError::Mismatch {
                kernel: "layernorm".into(),
                found: "no output".into(),
                expected: "an f32 tile, a panel, or both".into(),
            });
        }
        Ok(LayerNormPlan { isa, features, f32, panel })
    }

    /// Plans and compiles through the process-wide cache.
    ///
    /// # Errors
    /// Those of [`LayerNormDesc::plan`] and [`LayerNormKernel::compile`].
    pub fn compile(&self, isa: Isa) -> Result<LayerNormKernel, KernelError> {
        LayerNormKernel::compile(self.plan(isa)?)
    }
}
