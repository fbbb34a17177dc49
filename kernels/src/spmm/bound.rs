//! The inner loops that one call runs, for the bound of the kernel.

use lacuna_jit::{Code, Loop};

use super::plan::{ROW_BLOCK, SpmmPlan};
use crate::machine::{Executed, executed};
use crate::{KernelError, LANES, TILE, VECTORS};

/// The name of the loop over groups.
pub(super) const GROUPS: &str = "groups";
/// The name of the loop over groups that keeps interleaved rows of X.
pub(super) const KEEPING_GROUPS: &str = "groups, kept";
/// The name of the loop over groups whose interleaved rows of X were kept.
pub(super) const KEPT_GROUPS: &str = "kept groups";
/// The name of the loop over groups that share vectors.
pub(super) const PACKED_GROUPS: &str = "packed groups";
/// The name of the loop over groups of several row blocks.
pub(super) const ABREAST_GROUPS: &str = "groups of row blocks abreast";

impl SpmmPlan {
    /// The inner loops of `code`, which this plan emitted, that a call on `columns` columns runs, with their iterations. `groups` is the
    /// number of groups in all lists.
    ///
    /// # Errors
    /// [`KernelError::Jit`] if an instruction of a loop cannot be counted.
    pub fn executed(&self, code: &Code, groups: usize, columns: usize) -> Result<Vec<Executed>, KernelError> {
        let mut loops = Vec::new();
        let mut add = |name: &str, vectors: usize, tiles: f64| -> Result<(), KernelError> {
            let of = code.loops.iter().find(|of| of.name == name && of.columns == vectors * LANES);
            let at_once = |of: &Loop| of.depth * of.outputs / ROW_BLOCK;
            let times = |of: &Loop| groups as f64 * tiles / at_once(of) as f64;
            loops.extend(of.map(|of| executed(code, of, times(of))).transpose()?);
            Ok(())
        };
        let (full, tail) = (columns / TILE, (columns % TILE).div_ceil(LANES));
        for (vectors, tiles) in [(VECTORS, full), (tail, 1)] {
            if vectors == 0 || tiles == 0 {
                continue;
            }
            let tiles = tiles as f64;
            if self.runs_abreast(vectors) {
                add(ABREAST_GROUPS, vectors, tiles)?;
                continue;
            }
            if vectors * LANES <= self.schedule.narrow {
                add(PACKED_GROUPS, vectors, tiles)?;
                continue;
            }
            if let Some(share) = self.keeping_share() {
                add(KEEPING_GROUPS, vectors, tiles * share)?;
                add(KEPT_GROUPS, vectors, tiles * (1.0 - share))?;
                continue;
            }
            for first in (0..vectors).step_by(self.schedule.vectors) {
                add(GROUPS, self.schedule.vectors.min(vectors - first), tiles)?;
            }
        }
        Ok(loops)
    }
}
