//! The inner loops that one call runs, for the bound of the kernel.

use lacuna_jit::Code;

use super::plan::SpmmPlan;
use crate::machine::{Executed, executed};
use crate::{KernelError, LANES, TILE, VECTORS};

/// The name of the loop over groups.
pub(super) const GROUPS: &str = "groups";
/// The name of the loop over groups that share vectors.
pub(super) const PACKED_GROUPS: &str = "packed groups";

impl SpmmPlan {
    /// The inner loops of `code`, which this plan emitted, that a call on `columns` columns runs, with their iterations. `groups` is the
    /// number of groups in all lists.
    ///
    /// # Errors
    /// [`KernelError::Jit`] if an instruction of a loop cannot be counted.
    pub fn executed(&self, code: &Code, groups: usize, columns: usize) -> Result<Vec<Executed>, KernelError> {
        let mut loops = Vec::new();
        let mut add = |name: &str, vectors: usize, tiles: usize| -> Result<(), KernelError> {
            let of = code.loops.iter().find(|of| of.name == name && of.columns == vectors * LANES);
            let times = |depth: usize| (groups * tiles) as f64 / depth as f64;
            loops.extend(of.map(|of| executed(code, of, times(of.depth))).transpose()?);
            Ok(())
        };
        let (full, tail) = (columns / TILE, (columns % TILE).div_ceil(LANES));
        for (vectors, tiles) in [(VECTORS, full), (tail, 1)] {
            if vectors == 0 || tiles == 0 {
                continue;
            }
            if vectors * LANES <= self.schedule.narrow {
                add(PACKED_GROUPS, vectors, tiles)?;
                continue;
            }
            for first in (0..vectors).step_by(self.schedule.vectors) {
                add(GROUPS, self.schedule.vectors.min(vectors - first), tiles)?;
            }
        }
        Ok(loops)
    }
}
