//! What the caller wants.

use lacuna_jit::Isa;

use super::plan::GemmPlan;
use crate::epilogue::Epilogue;
use crate::{KernelError, pattern};

/// A dense product wanted: shape and epilogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct GemmDesc {
    /// Output features M.
    pub m: usize,
    /// Input features K.
    pub k: usize,
    /// What happens to the accumulators.
    pub epilogue: Epilogue,
}

impl GemmDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if M or K is 0 or too large, [`KernelError::Mismatch`] for f32 output in 16-bit arithmetic.
    pub fn plan(&self, isa: Isa) -> Result<GemmPlan, KernelError> {
        pattern::check_shape("gemm", self.m, self.k)?;
        self.epilogue.check_form("gemm")?;
        let steps = self.k.div_ceil(4);
        let unroll = [4, 2, 1].into_iter().find(|u| steps.is_multiple_of(*u)).unwrap_or(1);
        Ok(GemmPlan { isa, m: self.m, k: self.k, unroll, epilogue: self.epilogue })
    }
}
