//! What the caller wants.

use lacuna_jit::Isa;

use super::plan::{IndexWidth, SpmmPlan};
use crate::epilogue::Epilogue;
use crate::{KernelError, pattern};

/// A sparse product wanted: shape and epilogue. The pattern belongs to the weights: stream-form code is the same for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpmmDesc {
    /// Output features M.
    pub m: usize,
    /// Input features K.
    pub k: usize,
    /// What happens to the accumulators.
    pub epilogue: Epilogue,
}

impl SpmmDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if M or K is 0 or too large.
    pub fn plan(&self, isa: Isa) -> Result<SpmmPlan, KernelError> {
        pattern::check_shape("spmm", self.m, self.k)?;
        let index = IndexWidth::for_features(self.k);
        Ok(SpmmPlan { isa, m: self.m, k: self.k, index, epilogue: self.epilogue })
    }
}
