//! What the caller wants.

use lacuna_jit::Isa;

use super::plan::{IndexWidth, Schedule, SpmmPlan, can_be_narrow, input};
use crate::epilogue::Epilogue;
use crate::{Block, KernelError, PanelLayout, pattern};

/// A sparse product wanted: shape, block shape and epilogue. The pattern belongs to the weights: stream-form code is the same
/// for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpmmDesc {
    /// Output features M.
    pub m: usize,
    /// Input features K.
    pub k: usize,
    /// The shape of the zeros; [`Block::Unstructured`] is covered by 4x1 blocks.
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
        // What unstructured zeros run on is 4x1; there is no other code for them.
        let block = if self.block == Block::Unstructured { Block::B4x1 } else { self.block };
        let schedule = Schedule {
            vectors: match (input(block), block.outputs()) {
                (PanelLayout::Plain, 8) => 2,
                (PanelLayout::Plain, 16) => 1,
                _ => 4,
            },
            unroll: 2,
            narrow: if can_be_narrow(block) { 16 } else { 0 },
            prefetch: true,
        };
        let index = IndexWidth::for_features(self.k);
        Ok(SpmmPlan { isa, m: self.m, k: self.k, block, index, epilogue: self.epilogue, schedule })
    }
}
