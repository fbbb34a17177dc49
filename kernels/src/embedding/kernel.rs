//! The safe wrapper: checks shapes and indices, then one unsafe call per tile.

use lacuna_jit::Entry;

use super::args::EmbeddingArgs;
use super::desc::EmbeddingDesc;
use super::params::{EmbeddingIds, EmbeddingTables};
use super::plan::EmbeddingPlan;
use super::portable;
use crate::kernel::kernel_methods;
use crate::layout::{elements, tiles};
use crate::output::check_length;
use crate::parallel::SharedMut;
use crate::rows::{check_columns, for_each_tile};
use crate::{KernelError, Parallel, Plan, TILE};

/// A callable embedding. Cheap to clone; keeps its code alive.
#[derive(Debug, Clone)]
pub struct EmbeddingKernel {
    plan: EmbeddingPlan,
    entry: Option<Entry<EmbeddingArgs>>,
}

kernel_methods!(EmbeddingKernel, EmbeddingPlan, EmbeddingArgs, EmbeddingDesc);

impl EmbeddingKernel {
    /// Embeds the tokens of N = `columns` columns into `x`.
    ///
    /// **Shapes**: `ids` have [`tiles`]`(N) * 64` entries each, `x` is an f32 tile of F x N with [`elements`] elements. Padding
    /// columns are left unspecified, padding features untouched.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] for no columns, [`KernelError::Length`] for buffers of another size,
    /// [`KernelError::TokenId`] for a word outside its table, [`KernelError::Mismatch`] for a type or a position
    /// outside theirs.
    pub fn run(
        &self,
        tables: &EmbeddingTables<'_>,
        ids: &EmbeddingIds<'_>,
        x: &mut [f32],
        columns: usize,
        parallel: Parallel<'_>,
    ) -> Result<(), KernelError> {
        self.check(tables, ids, x, columns)?;
        let x = SharedMut::new(x);
        for_each_tile(parallel, columns, |tile, columns| {
            // SAFETY: checked above; each task has its own tile.
            unsafe { self.run_tile(tables, ids, tile, x.at(tile * self.plan.tile_elements()), columns) }
        });
        Ok(())
    }

    pub(super) fn check(
        &self,
        tables: &EmbeddingTables<'_>,
        ids: &EmbeddingIds<'_>,
        x: &[f32],
        columns: usize,
    ) -> Result<(), KernelError> {
        let plan = &self.plan;
        check_columns("embedding", columns)?;
        check_length(plan, "x", x.len(), elements(plan.features, columns))?;
        let rows = tiles(columns) * TILE;
        check_length(plan, "word ids", ids.word.len(), rows)?;
        check_length(plan, "type ids", ids.kind.len(), rows)?;
        check_length(plan, "position ids", ids.position.len(), rows)?;

        let words = self.table_rows("word table", tables.word)?;
        if let Some((position, found)) = first_outside(ids.word, words) {
            return Err(KernelError::TokenId { position, found, expected: words });
        }
        self.check_rows("type", ids.kind, self.table_rows("type table", tables.kind)?)?;
        self.check_rows("position", ids.position, self.table_rows("position table", tables.position)?)
    }

    fn table_rows(&self, name: &'static str, table: &[f32]) -> Result<usize, KernelError> {
        let features = self.plan.features;
        let whole = (table.len() / features).max(1) * features;
        check_length(&self.plan, name, table.len(), whole)?;
        Ok(table.len() / features)
    }

    fn check_rows(&self, what: &str, ids: &[u32], rows: usize) -> Result<(), KernelError> {
        match first_outside(ids, rows) {
            None => Ok(()),
            Some((token, found)) => Err(KernelError::Mismatch {
                kernel: self.plan.name(),
                found: format!("{what} {found} of token {token}"),
                expected: format!("less than {rows}, the rows of the {what} table"),
            }),
        }
    }

    /// Computes tile `tile`, which has `columns` (1..=64) columns, into `x`, the start of that tile.
    ///
    /// # Safety
    /// - [`EmbeddingKernel::check`] accepted `tables` and `ids` for a batch that has this tile.
    /// - `x` is valid for writes of [`EmbeddingPlan::tile_elements`] elements that nobody else uses now.
    pub(super) unsafe fn run_tile(
        &self,
        tables: &EmbeddingTables<'_>,
        ids: &EmbeddingIds<'_>,
        tile: usize,
        x: *mut f32,
        columns: usize,
    ) {
        let first = tile * TILE;
        match &self.entry {
            Some(entry) => {
                let args = EmbeddingArgs {
                    word: tables.word.as_ptr(),
                    kind: tables.kind.as_ptr(),
                    position: tables.position.as_ptr(),
                    word_ids: ids.word[first..].as_ptr(),
                    kind_ids: ids.kind[first..].as_ptr(),
                    position_ids: ids.position[first..].as_ptr(),
                    x,
                    columns,
                };
                // SAFETY: the plan's `Isa` token proves the CPU features; every index of the tile's 64 was checked, so
                // all rows are inside their tables, and masked loads do not touch what is behind a row; `x` is the
                // caller's promise.
                unsafe { entry.call(&args) };
            }
            None => {
                // SAFETY: the caller's promise.
                let x = unsafe { std::slice::from_raw_parts_mut(x, self.plan.tile_elements()) };
                portable::tile(&self.plan, tables, ids, first, x, columns);
            }
        }
    }
}

/// The first index that is not below `rows`, with its place.
fn first_outside(ids: &[u32], rows: usize) -> Option<(usize, u32)> {
    ids.iter().copied().enumerate().find(|&(_, id)| id as usize >= rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Buffer;
    use crate::preserved::plans_with_code;

    #[test]
    fn generated_code_preserves_what_a_callee_must() {
        let features = 22;
        let (table, ids) = (vec![1.0; 2 * features], vec![1; TILE]);
        for code in plans_with_code(|isa| [EmbeddingDesc { features }.plan(isa).unwrap()]) {
            for columns in [1, 17, 64] {
                let mut x = Buffer::new(elements(features, 1));
                let args = EmbeddingArgs {
                    word: table.as_ptr(),
                    kind: table.as_ptr(),
                    position: table.as_ptr(),
                    word_ids: ids.as_ptr(),
                    kind_ids: ids.as_ptr(),
                    position_ids: ids.as_ptr(),
                    x: x.as_mut_ptr(),
                    columns,
                };
                // SAFETY: as in `run_tile`: all indices are inside the table, `x` is a tile.
                unsafe { code.assert_preserves(&args, columns) };
            }
        }
    }
}
