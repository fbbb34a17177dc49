//! The safe wrapper: checks shapes, then one unsafe call.

use lacuna_jit::Entry;

use super::args::GemmArgs;
use super::plan::{GemmPlan, ROW_BLOCK, ROW_BLOCKS};
use super::portable;
use super::weights::GemmWeights;
use crate::epilogue::Constants;
use crate::kernel::kernel_methods;
use crate::layout::{debug_check_codes, elements, tiles};
use crate::output::{SharedOutput, check_length, check_output};
use crate::parallel::{Part, Parts};
use crate::rows::{check_columns, with_fma};
use crate::{KernelError, Output, PanelLayout, Parallel, Plan, TILE};

/// A callable dense GEMM. Cheap to clone; keeps its code alive.
#[derive(Debug, Clone)]
pub struct GemmKernel {
    plan: GemmPlan,
    entry: Option<Entry<GemmArgs>>,
}

kernel_methods!(GemmKernel, GemmPlan, GemmArgs);

impl GemmKernel {
    /// `out = epilogue(W x)` for `columns` columns.
    ///
    /// **Shapes**: `x` is a VNNI panel of K x columns, `out` holds M x columns in the layout of the epilogue; both have
    /// [`elements`] elements. Padding columns and features of `out` are left unspecified.
    ///
    /// **Numerics**: codes of x have the bits of [`GemmPlan::activation_bits`]. The results of a column with larger ones are unspecified: on
    /// AVX2 without VNNI its sums saturate. Debug builds panic.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] for no columns, [`KernelError::Length`] for buffers of another size,
    /// [`KernelError::Mismatch`] for weights packed for another shape or an output of another kind.
    pub fn run(
        &self,
        weights: &GemmWeights,
        x: &[u8],
        columns: usize,
        out: Output<'_>,
        parallel: Parallel,
    ) -> Result<(), KernelError> {
        let plan = &self.plan;
        check_columns("gemm", columns)?;
        if (weights.m, weights.k) != (plan.m, plan.k) {
            return Err(KernelError::Mismatch {
                kernel: plan.name(),
                found: format!("weights of M={} K={}", weights.m, weights.k),
                expected: format!("M={} K={}", plan.m, plan.k),
            });
        }
        if plan.needs_twos() && weights.twos.is_none() {
            let (found, expected) =
                ("weights packed for another tier, or for codes of eight bits".into(), "weights packed for it".into());
            return Err(KernelError::Mismatch { kernel: plan.name(), found, expected });
        }
        check_length(plan, "x", x.len(), elements(plan.k, columns))?;
        check_output(plan, plan.epilogue.sink.store, &out, elements(plan.m, columns))?;
        debug_check_codes(plan.activation_bits, PanelLayout::Vnni, x, (plan.k, columns));
        let out = SharedOutput::from(out);
        // Rows of a part are register blocks.
        let parts = Parts::new(tiles(columns), plan.blocks(), |block| block, parallel);
        parallel.for_each(parts.count(), |i| self.run_part(weights, x, columns, out, parts.part(i)));
        Ok(())
    }

    /// Computes one part of the output: some tiles of some register blocks.
    fn run_part(&self, weights: &GemmWeights, x: &[u8], columns: usize, out: SharedOutput, part: Part) {
        let plan = &self.plan;
        let (x_tile, y_tile) = (plan.x_tile_bytes(), plan.y_tile_elements());
        match &self.entry {
            Some(entry) => {
                let args = self.args(weights, x, columns, out, part);
                // SAFETY: the plan's `Isa` token proves the CPU features. `run` made sure that x and out hold `elements` of
                // the plan's shape, so every tile of the part is inside them; weights and parameters were packed for this
                // shape by `GemmWeights::pack`, or checked by `GemmWeights::from_sections`; twos, whose places in X are below K, were made of
                // them where the code reads twos, as was checked. Parts are disjoint in (tile, block),
                // and a row block's outputs belong to it alone.
                unsafe { entry.call(&args) };
            }
            None => {
                let (first_row_block, row_blocks) = self.row_blocks(part);
                for tile in part.first_tile..part.first_tile + part.tiles {
                    let tile_columns = (columns - tile * TILE).min(TILE);
                    let x = &x[tile * x_tile..][..x_tile];
                    for row_block in first_row_block..first_row_block + row_blocks {
                        // SAFETY: as above: the row block's 4 x 64 elements are inside `out` and written by this part alone.
                        let out = unsafe { out.slice(tile * y_tile + row_block * ROW_BLOCK * TILE, ROW_BLOCK * TILE) };
                        with_fma!(
                            portable::row_block,
                            plan: &GemmPlan,
                            weights: &GemmWeights,
                            row_block: usize,
                            x: &[u8],
                            tile_columns: usize,
                            out: Output<'_>
                        );
                    }
                }
            }
        }
    }
    /// What the generated code is called with to compute `part`.
    fn args(&self, weights: &GemmWeights, x: &[u8], columns: usize, out: SharedOutput, part: Part) -> GemmArgs {
        let plan = &self.plan;
        let (first_row_block, row_blocks) = self.row_blocks(part);
        let (packed, counts) = match weights.twos.as_deref().filter(|_| plan.needs_twos()) {
            Some(twos) => {
                let first = twos.first[first_row_block];
                (twos.all[first..].as_ptr().cast(), twos.counts[first_row_block..].as_ptr())
            }
            None => (weights.packed[part.first_row * plan.block_bytes()..].as_ptr(), std::ptr::null()),
        };
        GemmArgs {
            x: x[part.first_tile * plan.x_tile_bytes()..].as_ptr(),
            weights: packed,
            counts,
            params: weights.params.pointer(first_row_block),
            y: out.at(part.first_tile * plan.y_tile_elements() + first_row_block * ROW_BLOCK * TILE),
            constants: Constants::address(),
            columns: (columns - part.first_tile * TILE).min(part.tiles * TILE),
            blocks: row_blocks / ROW_BLOCKS,
            last_row_blocks: row_blocks % ROW_BLOCKS,
        }
    }

    /// First row block and number of row blocks of `part`.
    fn row_blocks(&self, part: Part) -> (usize, usize) {
        let first = part.first_row * ROW_BLOCKS;
        (first, (part.rows * ROW_BLOCKS).min(self.plan.row_blocks() - first))
    }
}

#[cfg(test)]
mod tests {
    use super::super::GemmDesc;
    use super::*;
    use crate::ActivationBits;
    use crate::Buffer;
    use crate::epilogue::{Epilogue, RowParams};
    use crate::output::OutputBuffer;
    use crate::preserved::plans_with_code;

    #[test]
    fn generated_code_preserves_what_a_callee_must() {
        let (m, k) = (17, 12);
        let plans = |isa| {
            Epilogue::all().into_iter().map(move |epilogue| {
                GemmDesc { m, k, epilogue, activation_bits: ActivationBits::Eight }.plan(isa).unwrap()
            })
        };
        for code in plans_with_code(plans) {
            let plan = code.plan;
            let kernel = GemmKernel::new(plan, code.compiled.clone()).unwrap();
            let weights = GemmWeights::pack(&plan, &vec![1; m * k], &vec![RowParams::default(); m]).unwrap();
            for columns in [1, 17, 33, 49, 64, 140] {
                let x = Buffer::new(elements(k, columns));
                let mut out = OutputBuffer::new(plan.epilogue.sink.store, elements(m, columns));
                let all = Part { first_tile: 0, tiles: tiles(columns), first_row: 0, rows: plan.blocks() };
                let args = kernel.args(&weights, &x, columns, SharedOutput::from(out.output()), all);
                // SAFETY: as in `run_part`: buffers and weights have the plan's shape.
                unsafe { code.assert_preserves(&args, columns) };
            }
        }
    }
}
