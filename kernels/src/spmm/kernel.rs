//! The safe wrapper: checks shapes, then one unsafe call.

use std::cell::RefCell;

use lacuna_jit::Entry;

use super::args::SpmmArgs;
use super::pack_indices::{self, PackIndices};
use super::plan::{GROUP_WEIGHT_BYTES, SpmmPlan};
use super::portable;
use super::shared;
use super::weights::SpmmWeights;
use crate::epilogue::Constants;
use crate::kernel::kernel_methods;
use crate::layout::{debug_check_codes, elements, tiles};
use crate::output::{SharedOutput, check_length, check_output};
use crate::parallel::{Part, Parts};
use crate::rows::{check_columns, with_fma};
use crate::{Buffer, KernelError, Output, Parallel, Plan, TILE};

/// A callable SpMM. Cheap to clone; keeps its code alive.
#[derive(Debug, Clone)]
pub struct SpmmKernel {
    plan: SpmmPlan,
    entry: Option<Entry<SpmmArgs>>,
}

kernel_methods!(SpmmKernel, SpmmPlan, SpmmArgs);

impl SpmmKernel {
    /// `out = epilogue(W x)` for `columns` columns.
    ///
    /// **Shapes**: `x` is a panel of K x columns in the layout of [`SpmmPlan::input`], `out` holds M x columns in the layout of the
    /// epilogue; both have [`elements`] elements. Padding columns and features of `out` are left unspecified.
    ///
    /// **Numerics**: codes of x have the bits of [`SpmmPlan::activation_bits`]. The results of a column with larger ones are unspecified: on
    /// AVX2 without VNNI its sums saturate. Debug builds panic.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] for no columns, [`KernelError::Length`] for buffers of another size,
    /// [`KernelError::Mismatch`] for weights packed for another shape or an output of another kind.
    pub fn run(
        &self,
        weights: &SpmmWeights,
        x: &[u8],
        columns: usize,
        out: Output<'_>,
        parallel: Parallel,
    ) -> Result<(), KernelError> {
        self.check(weights, x, columns, &out)?;
        let plan = &self.plan;
        debug_check_codes(plan.activation_bits, plan.input(), x, (plan.k, columns));
        let out = SharedOutput::from(out);
        // An empty row block still costs an epilogue: count each row block as one group more.
        let cost = |row: usize| weights.group_offsets[row] + row;
        let parts = Parts::new(tiles(columns), plan.rows(), cost, parallel);
        parallel.for_each(parts.count(), |i| self.run_part(weights, x, columns, out, parts.part(i)));
        Ok(())
    }

    fn check(&self, weights: &SpmmWeights, x: &[u8], columns: usize, out: &Output<'_>) -> Result<(), KernelError> {
        let plan = &self.plan;
        check_columns("spmm", columns)?;
        let mismatch = |found, expected| Err(KernelError::Mismatch { kernel: plan.name(), found, expected });
        if (weights.m, weights.k, weights.index) != (plan.m, plan.k, plan.index) {
            let found = format!("weights of M={} K={}", weights.m, weights.k);
            return mismatch(found, format!("M={} K={}", plan.m, plan.k));
        }
        if weights.cover != plan.cover() {
            return mismatch(format!("weights in {} blocks", weights.cover), format!("{} blocks", plan.cover()));
        }
        if plan.needs_pairs() && weights.paired.is_none() {
            return mismatch("weights packed for another tier".into(), format!("weights packed for {}", plan.isa()));
        }
        if weights.epilogue != plan.epilogue {
            return mismatch(format!("weights for {}", weights.epilogue.name()), plan.epilogue.name());
        }
        check_length(plan, "x", x.len(), elements(plan.k, columns))?;
        check_output(plan, plan.epilogue.sink.store, out, elements(plan.m, columns))
    }

    /// Computes one part of the output: some tiles of some row blocks.
    fn run_part(&self, weights: &SpmmWeights, x: &[u8], columns: usize, out: SharedOutput, part: Part) {
        let plan = &self.plan;
        let (x_tile, y_tile) = (plan.x_tile_bytes(), plan.y_tile_elements());
        match &self.entry {
            Some(entry) => with_scratch(self.scratch_bytes(columns, part), |scratch| {
                let args = self.args(weights, x, columns, out, part, scratch);
                // SAFETY: the plan's `Isa` token proves the CPU features. `check` made sure that x and out hold
                // `elements` of the plan's shape, so every tile of the part is inside them; streams, lists and
                // parameters were packed by `SpmmWeights::pack` or checked by `SpmmWeights::from_sections` for this epilogue: indices
                // are below K, output rows are below M and streams end in room for one vector more; scratch has the bytes that packing needs.
                // Parts are disjoint in (tile, row block), and a row block's outputs, wherever they lie, belong to it alone:
                // each output is in one row block.
                unsafe { entry.call(&args) };
            }),
            None => {
                for tile in part.first_tile..part.first_tile + part.tiles {
                    let tile_columns = (columns - tile * TILE).min(TILE);
                    let x = &x[tile * x_tile..][..x_tile];
                    for row in part.first_row..part.first_row + part.rows {
                        let outputs = weights.rows[row].outputs.map(|output| tile * y_tile + output as usize);
                        let compute = |out: Output<'_>| {
                            with_fma!(
                                portable::row_block,
                                plan: &SpmmPlan,
                                weights: &SpmmWeights,
                                row: usize,
                                x: &[u8],
                                tile_columns: usize,
                                out: Output<'_>
                            );
                        };
                        // SAFETY: as above: the row block's rows are inside `out` and used by this part alone.
                        unsafe { out.with_rows(outputs, compute) };
                    }
                }
            }
        }
    }

    /// Bytes that the generated code needs in addition to its operands: packed X, if the part ends in a narrow tail or
    /// passes pack, or kept rows.
    fn scratch_bytes(&self, columns: usize, part: Part) -> usize {
        let tail = (columns - part.first_tile * TILE).min(part.tiles * TILE) % TILE;
        let narrow = (1..=self.plan.schedule.narrow).contains(&tail);
        let packed = if narrow || self.plan.packs_dwords() { pack_indices::scratch_bytes(self.plan.k) } else { 0 };
        let kept = if self.plan.schedule.shared > 0 { shared::kept_bytes(self.plan.k) } else { 0 };
        packed.max(kept)
    }

    /// What the generated code is called with to compute `part`.
    fn args(
        &self,
        weights: &SpmmWeights,
        x: &[u8],
        columns: usize,
        out: SharedOutput,
        part: Part,
        scratch: &mut [u8],
    ) -> SpmmArgs {
        let plan = &self.plan;
        let stream = weights.stream(plan);
        let first_group = stream.group_offsets[part.first_row];
        SpmmArgs {
            x: x[part.first_tile * plan.x_tile_bytes()..].as_ptr(),
            indices: stream.indices[first_group * plan.group_index_bytes()..].as_ptr(),
            weights: stream.weights[first_group * GROUP_WEIGHT_BYTES..].as_ptr(),
            rows: stream.rows[part.first_row..].as_ptr(),
            params: weights.params.pointer(part.first_row),
            y: out.at(part.first_tile * plan.y_tile_elements()),
            constants: Constants::address(),
            pack_indices: PackIndices::TABLE,
            repeats: weights.repeats[part.first_row..].as_ptr(),
            scratch: scratch.as_mut_ptr(),
            columns: (columns - part.first_tile * TILE).min(part.tiles * TILE),
            count: part.rows,
        }
    }
}

/// Calls `body` with `bytes` bytes that only this thread uses. They stay allocated for the next call.
fn with_scratch<R>(bytes: usize, body: impl FnOnce(&mut [u8]) -> R) -> R {
    thread_local! {
        static SCRATCH: RefCell<Buffer<u8>> = RefCell::new(Buffer::new(0));
    }
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.reserve(bytes);
        body(&mut scratch[..bytes])
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Schedule, SpmmDesc};
    use super::*;
    use crate::epilogue::{Epilogue, RowParams};
    use crate::output::OutputBuffer;
    use crate::preserved::plans_with_code;
    use crate::{ActivationBits, Block, Buffer};

    #[test]
    fn generated_code_preserves_what_a_callee_must() {
        let (m, k) = (17, 12);
        let plans = |isa| {
            let descs = |epilogue| {
                Block::ALL[..5].iter().map(move |&block| SpmmDesc {
                    m,
                    k,
                    block,
                    epilogue,
                    activation_bits: ActivationBits::Eight,
                })
            };
            let plans = Epilogue::all().into_iter().flat_map(descs).map(move |desc| desc.plan(isa).unwrap());
            plans.flat_map(|plan| {
                let with = |shared| plan.with_schedule(Schedule { shared, ..*plan.schedule() });
                [0, 2, 4].map(with).into_iter().flatten()
            })
        };
        for code in plans_with_code(plans) {
            let plan = code.plan;
            let kernel = SpmmKernel::new(plan, code.compiled.clone()).unwrap();
            let weights = SpmmWeights::pack(&plan, &vec![1; m * k], &vec![RowParams::default(); m]).unwrap();
            for columns in [1, 17, 33, 49, 64, 140] {
                let x = Buffer::new(elements(k, columns));
                let mut out = OutputBuffer::new(plan.epilogue.sink.store, elements(m, columns));
                let all = Part { first_tile: 0, tiles: tiles(columns), first_row: 0, rows: plan.rows() };
                let mut scratch = Buffer::new(kernel.scratch_bytes(columns, all));
                let args = kernel.args(&weights, &x, columns, SharedOutput::from(out.output()), all, &mut scratch);
                // SAFETY: as in `run_part`: buffers and weights have the plan's shape.
                unsafe { code.assert_preserves(&args, columns) };
            }
        }
    }
}
