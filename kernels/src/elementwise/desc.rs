//! What the caller wants.

use lacuna_jit::Isa;

use super::kernel::ElementwiseKernel;
use super::plan::ElementwisePlan;
use crate::epilogue::Activation;
use crate::rows::check_features;
use crate::{KernelError, PanelLayout, Sign};

/// What happens to the elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowFunction {
    /// An activation, in place; not [`Activation::Identity`].
    Activate(Activation),
    /// Quantisation to a panel.
    Quantize {
        /// Applied before.
        activation: Activation,
        /// Panel layout.
        layout: PanelLayout,
        /// u8 or s8.
        sign: Sign,
    },
}

impl RowFunction {
    /// The function before a quantisation, or alone.
    pub(super) fn activation(self) -> Activation {
        match self {
            RowFunction::Activate(activation) | RowFunction::Quantize { activation, .. } => activation,
        }
    }

    /// Layout and sign of the panel, if one is written.
    pub(super) fn panel(self) -> Option<(PanelLayout, Sign)> {
        match self {
            RowFunction::Activate(_) => None,
            RowFunction::Quantize { layout, sign, .. } => Some((layout, sign)),
        }
    }
}

/// An element-wise function wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ElementwiseDesc {
    /// Features F.
    pub features: usize,
    /// What happens to the elements.
    pub function: RowFunction,
}

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

    /// Plans and compiles through the process-wide cache.
    ///
    /// # Errors
    /// Those of [`ElementwiseDesc::plan`] and [`ElementwiseKernel::compile`].
    pub fn compile(&self, isa: Isa) -> Result<ElementwiseKernel, KernelError> {
        ElementwiseKernel::compile(self.plan(isa)?)
    }
}
