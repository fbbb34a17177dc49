//! The weight stream: pattern and weights as a table that a small loop walks.

use bytemuck::{Pod, Zeroable};

use super::desc::DType;
use super::plan::{FloatPlan, OffsetWidth};
use super::twin::round_to_bf16;
use crate::layout::padded;
use crate::pattern::nonzero_blocks;
use crate::{Buffer, KernelError, Plan, SharedSlice, TILE};

/// One block row of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct BlockRow {
    /// Steps of the inner loop.
    pub(super) steps: u32,
    /// Output features before it times 64: the offset of its output within a tile, in elements.
    pub(super) out_offset: u32,
    /// Row blocks of [`FloatPlan::row_block`] output features that the output has rows for.
    pub(super) row_blocks: u32,
}

/// Weights of one layer, packed for [`super::FloatKernel`].
///
/// **Layout**: block rows of R output features by ascending number of steps. A step is C (1 for f32, 2 for bf16)
/// offsets of rows of X, which the dense form leaves out, and `[R][C]` weights. A bf16 block row with an odd number of
/// features repeats its last one with zero weights; the dense form has a last step whose second feature is not read.
/// Weights round to the plan's type, to nearest even; those that are denormal in bf16 become zeros. Output features
/// beyond M have zero weights.
#[derive(Debug, Clone)]
pub struct FloatWeights {
    pub(super) shape: Shape,
    pub(super) stream: SharedSlice<u8>,
    pub(super) block_rows: Vec<BlockRow>,
    /// `[block row][R]`, in stream order.
    pub(super) bias: Vec<f32>,
    /// Steps before each block row, and the total at the end; with the dense form's last one.
    pub(super) step_offsets: Vec<usize>,
    pub(super) blocks: usize,
    pub(super) nnz: usize,
}

/// What plan and weights must agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    m: usize,
    k: usize,
    dtype: DType,
    rows: usize,
    /// None for the dense form.
    index: Option<OffsetWidth>,
}

impl Shape {
    pub(super) fn of(plan: &FloatPlan) -> Shape {
        Shape {
            m: plan.m,
            k: plan.k,
            dtype: plan.dtype,
            rows: plan.tile.rows,
            index: (!plan.is_dense()).then_some(plan.index),
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Shape { m, k, dtype, rows, index } = self;
        write!(
            f,
            "{} {dtype} weights of M={m} K={k} in rows of {rows}",
            if index.is_some() { "sparse" } else { "dense" }
        )
    }
}

impl FloatWeights {
    /// Packs `weights` (row-major `[M][K]`) and one bias per output feature for kernels of `plan`.
    ///
    /// # Errors
    /// [`KernelError::Length`] for buffers that do not fit the plan's shape, [`KernelError::Parameter`] for weights and biases that
    /// are not finite, or not so in bf16.
    pub fn pack(plan: &FloatPlan, weights: &[f32], bias: &[f32]) -> Result<FloatWeights, KernelError> {
        let (m, k, rows) = (plan.m, plan.k, plan.tile.rows);
        for (buffer, found, expected) in [("weights", weights.len(), m * k), ("bias", bias.len(), m)] {
            if found != expected {
                return Err(KernelError::Length { kernel: plan.name(), buffer, found, expected });
            }
        }
        let weights = rounded(plan, weights)?;
        check_finite(plan, "bias", bias.iter().copied(), 1, bias)?;

        let columns: Vec<Vec<usize>> = weights
            .chunks(rows * k)
            .map(|block_row| if plan.is_dense() { (0..k).collect() } else { nonzero_blocks(block_row, k, 1).collect() })
            .collect();
        let steps = |row: usize| columns[row].len().div_ceil(plan.dtype.inputs());
        let mut order: Vec<usize> = (0..columns.len()).collect();
        order.sort_by_key(|&row| steps(row)); // stable: equal lengths stay in matrix order

        let total: usize = order.iter().map(|&row| steps(row)).sum();
        let mut stream = Buffer::<u8>::new(total * plan.record_bytes());
        let mut packed = FloatWeights {
            shape: Shape::of(plan),
            stream: Buffer::new(0).into(), // once it is written
            block_rows: Vec::with_capacity(order.len()),
            bias: vec![0.0; order.len() * rows],
            step_offsets: vec![0],
            blocks: columns.iter().map(Vec::len).sum(),
            nnz: weights.iter().filter(|&&w| w != 0.0).count(),
        };
        let mut records = stream.chunks_exact_mut(plan.record_bytes());
        for (place, &row) in order.iter().enumerate() {
            let first = row * rows;
            let outputs = first..m.min(first + rows);
            for (columns, record) in columns[row].chunks(plan.dtype.inputs()).zip(&mut records) {
                write_record(plan, record, columns, |r, column| {
                    if first + r < m { weights[(first + r) * k + column] } else { 0.0 }
                });
            }
            packed.bias[place * rows..][..outputs.len()].copy_from_slice(&bias[outputs]);
            packed.block_rows.push(BlockRow {
                steps: if plan.is_dense() { k / plan.dtype.inputs() } else { steps(row) } as u32,
                out_offset: (first * TILE) as u32,
                row_blocks: (rows.min(padded(m) - first) / plan.row_block()) as u32,
            });
            packed.step_offsets.push(packed.step_offsets[place] + steps(row));
        }
        packed.stream = stream.into();
        Ok(packed)
    }

    /// Weights the kernel multiplies by, zeros that fill blocks, pairs and rows included.
    pub fn stored(&self) -> usize {
        self.step_offsets[self.step_offsets.len() - 1] * self.shape.dtype.inputs() * self.shape.rows
    }

    /// Non-zero weights, after rounding to the plan's type.
    pub fn nnz(&self) -> usize {
        self.nnz
    }

    /// Stored blocks over all blocks (of R x 1): the share of the dense work that remains.
    pub fn density(&self) -> f64 {
        self.blocks as f64 / (self.block_rows.len() * self.shape.k) as f64
    }

    /// Non-zero weights over weights in stored blocks: 1 if the zeros come in whole blocks, less if blocks hold zeros
    /// of their own.
    pub fn fill_ratio(&self) -> f64 {
        if self.blocks == 0 { 1.0 } else { self.nnz as f64 / (self.blocks * self.shape.rows) as f64 }
    }

    /// Bytes of the stream and its tables.
    pub fn bytes(&self) -> usize {
        self.stream.len() + size_of_val(&self.block_rows[..]) + size_of_val(&self.bias[..])
    }
}

/// The weights as the plan's type holds them, as f32.
fn rounded(plan: &FloatPlan, weights: &[f32]) -> Result<Vec<f32>, KernelError> {
    let values: Vec<f32> = match plan.dtype {
        DType::F32 => weights.to_vec(),
        DType::Bf16 => {
            // A denormal of bf16 would count as zero in the kernel: better it is left out.
            weights.iter().map(|&w| super::twin::flush(round_to_bf16(w).to_f32())).collect()
        }
    };
    check_finite(plan, "weight", values.iter().copied(), plan.k, weights)?;
    Ok(values)
}

/// Refuses `values` that are not finite; `per_row` of them belong to an output feature, `given` is what the caller
/// gave.
fn check_finite(
    plan: &FloatPlan,
    parameter: &'static str,
    mut values: impl Iterator<Item = f32>,
    per_row: usize,
    given: &[f32],
) -> Result<(), KernelError> {
    let Some(i) = values.position(|value| !value.is_finite()) else { return Ok(()) };
    let expected = match plan.dtype {
        DType::Bf16 if given[i].is_finite() => "a number that is finite in bf16",
        _ => "a finite number",
    };
    Err(KernelError::Parameter { kernel: plan.name(), parameter, row: i / per_row, found: given[i], expected })
}

/// Writes the step of one or two `columns`: their indices (a missing second one repeats the first with weight 0) and
/// `[row][column]` weights.
fn write_record(plan: &FloatPlan, record: &mut [u8], columns: &[usize], weight: impl Fn(usize, usize) -> f32) {
    let (indices, weights) = record.split_at_mut(plan.index_bytes());
    for (i, bytes) in indices.chunks_exact_mut(plan.index.bytes()).enumerate() {
        let column = columns.get(i).unwrap_or(&columns[0]);
        let index = (column * plan.x_row_bytes() / plan.index.unit()) as u32;
        bytes.copy_from_slice(&index.to_le_bytes()[..plan.index.bytes()]);
    }
    for (r, bytes) in weights.chunks_exact_mut(4).enumerate() {
        let weight = |i: usize| columns.get(i).map_or(0.0, |&column| weight(r, column));
        match plan.dtype {
            DType::F32 => bytes.copy_from_slice(&weight(0).to_le_bytes()),
            DType::Bf16 => {
                bytes[..2].copy_from_slice(&round_to_bf16(weight(0)).to_le_bytes());
                bytes[2..].copy_from_slice(&round_to_bf16(weight(1)).to_le_bytes());
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use half::bf16;
    use lacuna_jit::Isa;
    use proptest::prelude::*;
    use rand::prelude::*;

    use super::super::FloatDesc;
    use super::*;
    use crate::{Block, Sink};

    /// The row-major matrix, rebuilt from the bytes of the stream only. Every stored weight must be at a place of its
    /// own.
    pub(in super::super) fn unpack(plan: &FloatPlan, packed: &FloatWeights) -> Vec<f32> {
        let (m, k, inputs) = (plan.m, plan.k, plan.dtype.inputs());
        let mut weights = vec![0.0; m * k];
        for (i, row) in packed.block_rows.iter().enumerate() {
            let first_output = row.out_offset as usize / TILE;
            let steps = packed.step_offsets[i]..packed.step_offsets[i + 1];
            let unread = usize::from(plan.is_dense() && k % inputs != 0); // the loop's steps, without the odd last one
            assert_eq!(steps.len(), row.steps as usize + unread);
            assert_eq!(row.row_blocks as usize, (padded(m) - first_output).min(plan.tile.rows) / plan.row_block());
            for (step, record) in
                packed.stream.chunks_exact(plan.record_bytes()).skip(steps.start).take(steps.len()).enumerate()
            {
                let (indices, values) = record.split_at(plan.index_bytes());
                for input in 0..inputs {
                    let column = match indices.chunks_exact(plan.index.bytes()).nth(input) {
                        Some(index) => {
                            let offset = plan.index.offset(index);
                            assert_eq!(offset % plan.x_row_bytes(), 0);
                            offset / plan.x_row_bytes()
                        }
                        None => step * inputs + input,
                    };
                    for (r, bytes) in values.chunks_exact(4).enumerate() {
                        let weight = match plan.dtype {
                            DType::F32 => f32::from_le_bytes(bytes.try_into().unwrap()),
                            DType::Bf16 => bf16::from_le_bytes([bytes[2 * input], bytes[2 * input + 1]]).to_f32(),
                        };
                        if weight != 0.0 {
                            let at = (first_output + r) * k + column;
                            assert!(column < k && first_output + r < m);
                            assert_eq!(std::mem::replace(&mut weights[at], weight), 0.0, "stored twice");
                        }
                    }
                }
            }
        }
        weights
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        #[test]
        fn the_stream_is_the_matrix(
            (m, k) in (1usize..30, 1usize..40),
            density in 0.0..=1.0f64,
            block in prop::sample::select(vec![Block::Unstructured, Block::B4x1, Block::B8x1, Block::Dense]),
            dtype in prop::sample::select(DType::ALL.to_vec()),
            seed in any::<u64>(),
        ) {
            let mut rng = StdRng::seed_from_u64(seed);
            let weight = |rng: &mut StdRng| if rng.random_bool(density) { rng.random_range(-1.0..1.0) } else { 0.0 };
            let weights: Vec<f32> = (0..m * k).map(|_| weight(&mut rng)).collect();
            let bias: Vec<f32> = (0..m).map(|row| row as f32).collect();
            let plan = FloatDesc { m, k, dtype, block, sink: Sink::f32(false) }.plan(Isa::Portable).unwrap();
            let packed = FloatWeights::pack(&plan, &weights, &bias).unwrap();
            let expected: Vec<f32> = match dtype {
                DType::F32 => weights,
                DType::Bf16 => weights.iter().map(|&w| bf16::from_f32(w).to_f32()).collect(),
            };
            prop_assert_eq!(unpack(&plan, &packed), expected);

            prop_assert!(packed.block_rows.is_sorted_by_key(|row| row.steps));
            let rows = plan.tile.rows;
            let mut outputs: Vec<usize> = packed.block_rows.iter().map(|row| row.out_offset as usize / TILE).collect();
            for (first, found) in outputs.iter().zip(packed.bias.chunks_exact(rows)) {
                for (output, &found) in (*first..).zip(found) {
                    prop_assert_eq!(found, bias.get(output).copied().unwrap_or(0.0));
                }
            }
            outputs.sort_unstable();
            prop_assert!(outputs.into_iter().eq((0..m).step_by(rows)));
        }
    }
}
