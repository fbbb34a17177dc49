//! What the caller wants.

use lacuna_jit::Isa;

use super::kernel::ElementwiseKernel;
use super::plan::ElementwisePlan;
use crate::rows::check_features;
use crate::{Activation, KernelError, Sink, Store};

/// An element-wise function wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ElementwiseDesc {
    /// Features F.
    pub features: usize,
    /// Where the results go: codes, or f32 in place, which needs an activation. The activation is computed in f32 for either:
    /// [`crate::math::gelu`], not its coarse form.
    pub sink: Sink,
}

impl ElementwiseDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if F is 0 or too large, [`KernelError::Mismatch`] for no function at all, for bf16 and for residual output.
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

    /// Plans and compiles through the process-wide cache.
    ///
    /// # Errors
    /// Those of [`ElementwiseDesc::plan`] and [`ElementwiseKernel::compile`].
    pub fn compile(&self, isa: Isa) -> Result<ElementwiseKernel, KernelError> {
        ElementwiseKernel::compile(self.plan(isa)?)
    }
}
