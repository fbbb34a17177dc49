//! The safe wrapper: checks shapes, then one unsafe call.

use half::bf16;
use lacuna_jit::Entry;

use super::args::FloatArgs;
use super::desc::DType;
use super::epilogue::Constants;
use super::plan::FloatPlan;
use super::portable::{self, TileOf};
use super::weights::{FloatWeights, Shape};
use crate::kernel::kernel_methods;
use crate::layout::{elements, tiles};
use crate::output::{SharedOutput, check_length, check_output};
use crate::parallel::{Part, Parts};
use crate::rows::{check_columns, tile_columns, with_fma};
use crate::{KernelError, Output, Parallel, Plan, TILE};

/// Where a product of floats reads: the buffer must be of the plan's type.
#[derive(Debug, Clone, Copy)]
pub enum FloatInput<'a> {
    /// An f32 tile.
    F32(&'a [f32]),
    /// A bf16 panel, see [`super::bf16_index`].
    Bf16(&'a [bf16]),
}

impl FloatInput<'_> {
    fn dtype(&self) -> DType {
        match self {
            FloatInput::F32(_) => DType::F32,
            FloatInput::Bf16(_) => DType::Bf16,
        }
    }

    fn len(&self) -> usize {
        match self {
            FloatInput::F32(x) => x.len(),
            FloatInput::Bf16(x) => x.len(),
        }
    }

    /// The address of element `index`.
    fn at(&self, index: usize) -> *const u8 {
        match self {
            FloatInput::F32(x) => x[index..].as_ptr().cast(),
            FloatInput::Bf16(x) => x[index..].as_ptr().cast(),
        }
    }
}

/// A callable product of floats. Cheap to clone; keeps its code alive.
#[derive(Debug, Clone)]
pub struct FloatKernel {
    plan: FloatPlan,
    entry: Option<Entry<FloatArgs>>,
}

kernel_methods!(FloatKernel, FloatPlan, FloatArgs);

impl FloatKernel {
    /// `out = epilogue(b + W x)` for `columns` columns.
    ///
    /// **Shapes**: `x` holds K x columns, `out` M x columns, each in the layout of its type; both have [`elements`]
    /// elements. Padding columns and features of `out` are left unspecified.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] for no columns, [`KernelError::Length`] for buffers of another size,
    /// [`KernelError::Mismatch`] for weights packed for another plan and for an input or output of another type.
    pub fn run(
        &self,
        weights: &FloatWeights,
        x: FloatInput<'_>,
        columns: usize,
        out: Output<'_>,
        parallel: Parallel<'_>,
    ) -> Result<(), KernelError> {
        self.check(weights, x, columns, &out)?;
        let out = SharedOutput::from(out);
        // An empty block row still costs an epilogue: count each block row as two steps more.
        let cost = |row: usize| weights.step_offsets[row] + 2 * row;
        let parts = Parts::new(tiles(columns), weights.block_rows.len(), cost, parallel);
        parallel.for_each(parts.count(), |i| self.run_part(weights, x, columns, out, parts.part(i)));
        Ok(())
    }

    fn check(
        &self,
        weights: &FloatWeights,
        x: FloatInput<'_>,
        columns: usize,
        out: &Output<'_>,
    ) -> Result<(), KernelError> {
        let plan = &self.plan;
        check_columns("float", columns)?;
        let mismatch = |found: String, expected: String| KernelError::Mismatch { kernel: plan.name(), found, expected };
        if weights.shape != Shape::of(plan) {
            return Err(mismatch(weights.shape.to_string(), Shape::of(plan).to_string()));
        }
        if x.dtype() != plan.dtype {
            return Err(mismatch(format!("x of {}", x.dtype()), format!("x of {}", plan.dtype)));
        }
        check_length(plan, "x", x.len(), elements(plan.k, columns))?;
        check_output(plan, plan.sink.store, out, elements(plan.m, columns))
    }

    /// Computes one part of the output: some tiles of some block rows.
    fn run_part(&self, weights: &FloatWeights, x: FloatInput<'_>, columns: usize, out: SharedOutput, part: Part) {
        if let Some(entry) = &self.entry {
            let args = self.args(weights, x, columns, out, part);
            // SAFETY: the plan's columns prove the CPU features. `check` made sure that x and out hold `elements` of the
            // plan's shape and types, so every tile of the part is inside them; stream, block rows and biases were
            // packed by `FloatWeights::pack` or checked by `FloatWeights::from_sections` for this shape: its offsets are of rows below K, its block rows
            // store row blocks below M, padded. Parts are disjoint in (tile, block row), and a block row's outputs belong
            // to it alone. Prefetches do not fault.
            return unsafe { entry.call(&args) };
        }
        let plan = &self.plan;
        let (x_tile, y_tile) = (plan.x_tile_elements(), plan.y_tile_elements());
        for tile in part.first_tile..part.first_tile + part.tiles {
            let tile_columns = tile_columns(columns, tile);
            let x = match x {
                FloatInput::F32(x) => TileOf::F32(&x[tile * x_tile..][..x_tile]),
                FloatInput::Bf16(x) => TileOf::Bf16(&x[tile * x_tile..][..x_tile]),
            };
            for row in part.first_row..part.first_row + part.rows {
                let block_row = weights.block_rows[row];
                let len = block_row.row_blocks as usize * plan.row_block() * TILE;
                // SAFETY: as above: the block row's row blocks are inside `out` and written by this part alone.
                let out = unsafe { out.slice(tile * y_tile + block_row.out_offset as usize, len) };
                with_fma!(
                    portable::block_row,
                    plan: &FloatPlan,
                    weights: &FloatWeights,
                    row: usize,
                    x: TileOf<'_>,
                    tile_columns: usize,
                    out: Output<'_>
                );
            }
        }
    }

    /// What the generated code is called with to compute `part`.
    fn args(
        &self,
        weights: &FloatWeights,
        x: FloatInput<'_>,
        columns: usize,
        out: SharedOutput,
        part: Part,
    ) -> FloatArgs {
        let plan = &self.plan;
        let first_record = weights.step_offsets[part.first_row] * plan.record_bytes();
        FloatArgs {
            x: x.at(part.first_tile * plan.x_tile_elements()),
            stream: weights.stream[first_record..].as_ptr(),
            block_rows: weights.block_rows[part.first_row..].as_ptr(),
            bias: weights.bias[part.first_row * plan.tile.rows..].as_ptr(),
            y: out.at(part.first_tile * plan.y_tile_elements()),
            constants: Constants::address(),
            columns: (columns - part.first_tile * TILE).min(part.tiles * TILE),
            count: part.rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FloatDesc, sinks};
    use super::*;
    use crate::preserved::plans_with_code;
    use crate::{Block, Buffer, OutputBuffer};

    #[test]
    fn generated_code_preserves_what_a_callee_must() {
        let (m, k) = (17, 13);
        let blocks = [Block::B4x1, Block::B8x1, Block::Dense];
        let plans = |isa| {
            let kinds = DType::ALL.into_iter().flat_map(move |dtype| blocks.map(|block| (dtype, block)));
            let descs = |(dtype, block)| sinks().into_iter().map(move |sink| FloatDesc { m, k, dtype, block, sink });
            // Where the CPU lacks AVX512_BF16 there is no code to test.
            kinds.flat_map(descs).filter_map(move |desc| desc.plan(isa).ok())
        };
        for code in plans_with_code(plans) {
            let plan = code.plan;
            let kernel = FloatKernel::new(plan, code.compiled.clone()).unwrap();
            let weights = FloatWeights::pack(&plan, &vec![1.0; m * k], &vec![1.0; m]).unwrap();
            for columns in [1, 17, 33, 49, 64, 140] {
                let (x, y) = (elements(k, columns), elements(m, columns));
                let (x_f32, x_bf16) = (Buffer::<f32>::new(x), Buffer::<bf16>::new(x));
                let mut out = OutputBuffer::new(plan.sink.store, y);
                let x = match plan.dtype {
                    DType::F32 => FloatInput::F32(&x_f32),
                    DType::Bf16 => FloatInput::Bf16(&x_bf16),
                };
                let rows = weights.block_rows.len();
                let all = Part { first_tile: 0, tiles: tiles(columns), first_row: 0, rows };
                let args = kernel.args(&weights, x, columns, out.output().into(), all);
                // SAFETY: as in `run_part`: buffers and weights have the plan's shape.
                unsafe { code.assert_preserves(&args, columns) };
            }
        }
    }
}
