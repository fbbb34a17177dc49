//! What the caller wants.

use lacuna_jit::Isa;

use super::plan::{IndexWidth, Schedule, SpmmPlan, can_be_narrow};
use crate::epilogue::Epilogue;
use crate::{Block, KernelError, VECTORS, pattern};

/// A sparse product wanted: shape, block shape and epilogue. The pattern belongs to the weights: stream-form code is the same
/// for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct SpmmDesc {
    /// Output features M.
    pub m: usize,
    /// Input features K.
    pub k: usize,
    /// The shape of the zeros; [`SpmmPlan::cover`] says what is computed.
    pub block: Block,
    /// What happens to the accumulators.
    pub epilogue: Epilogue,
}

impl SpmmDesc {
    /// Decides how to compute it on `isa`, by rules alone; [`super::Tuner`] looks further.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if M or K is 0 or too large, [`KernelError::Block`] for [`Block::Dense`].
    pub fn plan(&self, isa: Isa) -> Result<SpmmPlan, KernelError> {
        pattern::check_shape("spmm", self.m, self.k)?;
        self.epilogue.check_form("spmm")?;
        pattern::sparse_shape("spmm", self.block)?;
        let schedule = Schedule {
            vectors: self.vectors(),
            unroll: 2,
            narrow: if can_be_narrow(self.block) { 16 } else { 0 },
            prefetch: true,
        };
        let index = IndexWidth::for_features(self.k);
        Ok(SpmmPlan { isa, m: self.m, k: self.k, block: self.block, index, epilogue: self.epilogue, schedule })
    }

    /// Vectors per pass. A dot product with a 1x4 block loads X for itself alone, so the part of X that a pass reads should fit
    /// L1, which is 48 KB or not much else; then fewer vectors per pass win although they share less.
    fn vectors(&self) -> usize {
        match (self.block, self.k) {
            (Block::B1x4, 2049..) => 1,
            (Block::B1x4, 1025..) => 2,
            _ => VECTORS,
        }
    }
}
