//! The inner loops that one call runs, for the bound of the kernel.

use lacuna_jit::Code;

use super::plan::{GemmPlan, ROW_BLOCK, ROW_BLOCKS};
use crate::machine::{Executed, executed};
use crate::{KernelError, LANES};

/// The name of the loop over steps of four input features.
pub(super) const STEPS: &str = "steps";
/// Columns of a half-tile.
const HALF_TILE: usize = crate::TILE / 2;

impl GemmPlan {
    /// The inner loops of `code`, which this plan emitted, that a call on `columns` columns runs, with their iterations.
    ///
    /// # Errors
    /// [`KernelError::Jit`] if an instruction of a loop cannot be counted.
    pub fn executed(&self, code: &Code, columns: usize) -> Result<Vec<Executed>, KernelError> {
        let (whole, rest) = (self.row_blocks() / ROW_BLOCKS, self.row_blocks() % ROW_BLOCKS);
        let single = (1..=LANES).contains(&(columns % HALF_TILE));
        let halves = columns.div_ceil(HALF_TILE) - usize::from(single);
        let mut loops = Vec::new();
        for (width, parts) in [(HALF_TILE, halves), (LANES, usize::from(single))] {
            for (row_blocks, blocks) in [(ROW_BLOCKS, whole), (rest, usize::from(rest > 0))] {
                let is_it = |name: &str, outputs: usize, columns: usize| {
                    (name, outputs, columns) == (STEPS, row_blocks * ROW_BLOCK, width)
                };
                let of = code.loops.iter().find(|of| is_it(of.name, of.outputs, of.columns));
                let Some(of) = of.filter(|_| parts * blocks > 0) else { continue };
                let times = (self.steps() / of.depth * parts * blocks) as f64;
                loops.push(executed(code, of, times)?);
            }
        }
        Ok(loops)
    }
}
