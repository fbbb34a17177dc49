//! What the caller wants.

use lacuna_jit::Isa;

use super::kernel::LayerNormKernel;
use super::plan::LayerNormPlan;
use crate::rows::check_features;
use crate::{KernelError, PanelLayout};

/// What a layernorm writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayerNormOutput {
    /// The f32 tile, in place: the last layer.
    F32,
    /// A u8 panel; the f32 tile stays as it is.
    Panel(PanelLayout),
    /// The f32 tile, in place, and a u8 panel.
    Both(PanelLayout),
}

impl LayerNormOutput {
    /// The layout of the panel, if one is written.
    pub fn panel(self) -> Option<PanelLayout> {
        match self {
            LayerNormOutput::F32 => None,
            LayerNormOutput::Panel(layout) | LayerNormOutput::Both(layout) => Some(layout),
        }
    }

    /// Whether the f32 tile is written.
    pub fn writes_f32(self) -> bool {
        !matches!(self, LayerNormOutput::Panel(_))
    }
}

/// A layernorm wanted. Its parameters are data ([`super::LayerNormWeights`]): layers of equal width share the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LayerNormDesc {
    /// Features F.
    pub features: usize,
    /// What is written.
    pub output: LayerNormOutput,
}

impl LayerNormDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if F is 0 or too large.
    pub fn plan(&self, isa: Isa) -> Result<LayerNormPlan, KernelError> {
        check_features("layernorm", self.features)?;
        Ok(LayerNormPlan { isa, features: self.features, output: self.output })
    }

    /// Plans and compiles through the process-wide cache.
    ///
    /// # Errors
    /// Those of [`LayerNormDesc::plan`] and [`LayerNormKernel::compile`].
    pub fn compile(&self, isa: Isa) -> Result<LayerNormKernel, KernelError> {
        LayerNormKernel::compile(self.plan(isa)?)
    }
}
