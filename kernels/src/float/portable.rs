//! The plan interpreted in plain Rust: walks the same stream, block rows and parts as the generated code, and gives the
//! same bits. It is the portable tier, and the second oracle that tells a wrong schedule from a wrong encoding.

use half::bf16;

use super::epilogue::{RowsOut, finish_row};
use super::layout::bf16_lane_position;
use super::plan::{FloatPlan, MAX_CHAINS};
use super::twin::{flush, fused};
use super::weights::FloatWeights;
use crate::{LANES, TILE};

/// The most output features of a block row.
const MAX_ROWS: usize = 12;

/// One tile of X.
#[derive(Clone, Copy)]
pub(super) enum TileOf<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
}

/// Sums of a part, `[row][lane]`.
type Sums = [[f32; TILE]; MAX_ROWS];

/// One block row (number `row` in stream order) of the first `tokens` tokens of one tile. `out` are its rows in the
/// output.
#[inline(always)]
pub(super) fn block_row(
    plan: &FloatPlan,
    weights: &FloatWeights,
    row: usize,
    x: TileOf<'_>,
    tokens: usize,
    mut out: RowsOut<'_>,
) {
    let (rows, part) = (plan.tile.rows, plan.tile.vectors * LANES);
    let record = plan.record_bytes();
    let records = &weights.stream[weights.step_offsets[row] * record..weights.step_offsets[row + 1] * record];
    let bias = &weights.bias[row * rows..][..rows];
    for first in (0..tokens).step_by(part) {
        let tokens = part.min(tokens - first);
        let chains = plan.chains(tokens.div_ceil(LANES));
        // The steps that are spread over the chains; the others, and the last of an odd dense form, belong to the first.
        let spread = weights.block_rows[row].steps as usize / chains * chains;
        let mut sums = [[[0.0; TILE]; MAX_ROWS]; MAX_CHAINS];
        sums[0].iter_mut().zip(bias).for_each(|(sum, &bias)| sum.fill(bias));
        for (i, record) in records.chunks_exact(record).enumerate() {
            let sums = &mut sums[if i < spread { i % chains } else { 0 }];
            let (indices, values) = record.split_at(plan.index_bytes());
            match x {
                TileOf::F32(x) => step_f32(sums, row_of(plan, indices, i, 0, x).map(|x| &x[first..][..tokens]), values),
                TileOf::Bf16(x) => {
                    // Whole halves of rows: lanes of one vector are not next to each other.
                    let lanes = tokens.next_multiple_of(2 * LANES);
                    let pair = [0, 1].map(|j| row_of(plan, indices, 2 * i + j, j, x).map(|x| &x[first..][..lanes]));
                    step_bf16(sums, pair, values);
                }
            }
        }
        let [mut total, others @ ..] = sums;
        for chain in &others[..chains - 1] {
            for (total, part) in total.iter_mut().flatten().zip(chain.iter().flatten()) {
                *total += part;
            }
        }
        for (r, total) in total.iter().enumerate().take(weights.block_rows[row].strips as usize * plan.strip()) {
            let natural: [f32; TILE] = match x {
                TileOf::F32(_) => *total,
                TileOf::Bf16(_) => std::array::from_fn(|token| total[bf16_lane_position(token)]),
            };
            finish_row(&plan.epilogue, &natural[..tokens], r, first, &mut out);
        }
    }
}

/// The row of X that number `place` of `indices` says, or that the dense form reads as its `number`-th; `None` beyond
/// K.
#[inline(always)]
fn row_of<'a, T>(plan: &FloatPlan, indices: &[u8], number: usize, place: usize, x: &'a [T]) -> Option<&'a [T; TILE]> {
    let feature = match indices.chunks_exact(plan.index.bytes()).nth(place) {
        Some(index) => plan.index.offset(index) / plan.x_row_bytes(),
        None if number < plan.k => number,
        None => return None,
    };
    x[feature * TILE..].first_chunk()
}

#[inline(always)]
fn step_f32(sums: &mut Sums, x: Option<&[f32]>, values: &[u8]) {
    let x = x.expect("every f32 step has its row");
    for (sums, w) in sums.iter_mut().zip(values.chunks_exact(4)) {
        let w = f32::from_le_bytes([w[0], w[1], w[2], w[3]]);
        sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum = w.mul_add(x, *sum));
    }
}

#[inline(always)]
fn step_bf16(sums: &mut Sums, pair: [Option<&[bf16]>; 2], values: &[u8]) {
    let mut x = [[0.0; TILE]; 2];
    for (x, row) in x.iter_mut().zip(pair) {
        let row = row.unwrap_or(&[]); // beyond K: zeros
        x.iter_mut().zip(row).for_each(|(x, &value)| *x = flush(value.to_f32()));
    }
    let lanes = pair[0].map_or(0, <[bf16]>::len);
    for (sums, w) in sums.iter_mut().zip(values.chunks_exact(4)) {
        let w = [[w[0], w[1]], [w[2], w[3]]].map(|w| bf16::from_le_bytes(w).to_f32());
        for (sum, (&x0, &x1)) in sums[..lanes].iter_mut().zip(x[0].iter().zip(&x[1])) {
            *sum = fused(fused(*sum, x1, w[1]), x0, w[0]);
        }
    }
}
