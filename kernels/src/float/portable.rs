//! The plan interpreted in plain Rust: walks the same stream, block rows and parts as the generated code, and gives the
//! same bits. It is the portable tier, and the second reference that tells a wrong schedule from a wrong encoding.

use half::bf16;

use super::epilogue::finish_row;
use super::layout::bf16_lane_position;
use super::plan::{FloatPlan, MAX_CHAINS};
use super::twin::{flush, fused};
use super::weights::FloatWeights;
use crate::{LANES, Output, TILE};

/// Columns of half a row. Half rows are computed whole: the columns of one vector are not next to each other.
const HALF: usize = 2 * LANES;

/// One tile of X.
#[derive(Clone, Copy)]
pub(super) enum TileOf<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
}

/// One block row (number `row` in stream order) of the first `columns` columns of one tile. `out` are its rows in the
/// output.
#[inline(always)]
pub(super) fn block_row(
    plan: &FloatPlan,
    weights: &FloatWeights,
    row: usize,
    x: TileOf<'_>,
    columns: usize,
    out: Output<'_>,
) {
    match plan.tile.rows {
        1 => rows::<1>(plan, weights, row, x, columns, out),
        4 => rows::<4>(plan, weights, row, x, columns, out),
        8 => rows::<8>(plan, weights, row, x, columns, out),
        12 => rows::<12>(plan, weights, row, x, columns, out),
        rows => unreachable!("no register tile has {rows} rows"),
    }
}

/// [`block_row`] of R output features.
#[inline(always)]
fn rows<const R: usize>(
    plan: &FloatPlan,
    weights: &FloatWeights,
    row: usize,
    x: TileOf<'_>,
    columns: usize,
    mut out: Output<'_>,
) {
    let part = plan.tile.vectors * LANES;
    let record = plan.record_bytes();
    let records = &weights.stream[weights.step_offsets[row] * record..weights.step_offsets[row + 1] * record];
    let bias = &weights.bias[row * R..][..R];
    for first in (0..columns).step_by(part) {
        let columns = part.min(columns - first);
        let chains = plan.chains(columns.div_ceil(LANES));
        // The steps that are spread over the chains; the others, and the last of an odd dense form, belong to the first.
        let spread = weights.block_rows[row].steps as usize / chains * chains;
        let mut sums = [[[0.0; TILE]; R]; MAX_CHAINS];
        sums[0].iter_mut().zip(bias).for_each(|(sum, &bias)| sum.fill(bias));
        for (i, record) in records.chunks_exact(record).enumerate() {
            let sums = &mut sums[if i < spread { i % chains } else { 0 }];
            let (indices, values) = record.split_at(plan.index_bytes());
            match x {
                TileOf::F32(x) => {
                    step_f32(sums, row_of(plan, indices, i, 0, x).map(|x| &x[first..][..columns]), values)
                }
                TileOf::Bf16(x) => {
                    let lanes = columns.next_multiple_of(HALF);
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
        for (r, total) in total.iter().enumerate().take(weights.block_rows[row].row_blocks as usize * plan.row_block())
        {
            let natural: [f32; TILE] = match x {
                TileOf::F32(_) => *total,
                TileOf::Bf16(_) => std::array::from_fn(|column| total[bf16_lane_position(column)]),
            };
            finish_row(&plan.sink, &natural[..columns], r, first, &mut out);
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
fn step_f32(sums: &mut [[f32; TILE]], x: Option<&[f32]>, values: &[u8]) {
    let x = x.expect("every f32 step has its row");
    for (sums, w) in sums.iter_mut().zip(values.chunks_exact(4)) {
        let w = f32::from_le_bytes([w[0], w[1], w[2], w[3]]);
        sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum = w.mul_add(x, *sum));
    }
}

#[inline(always)]
fn step_bf16(sums: &mut [[f32; TILE]], pair: [Option<&[bf16]>; 2], values: &[u8]) {
    let widened = |value: bf16| f32::from_bits(u32::from(value.to_bits()) << 16);
    let mut x = [[0.0; TILE]; 2];
    for (x, row) in x.iter_mut().zip(pair) {
        let row = row.unwrap_or(&[]); // beyond K: zeros
        x.iter_mut().zip(row).for_each(|(x, &value)| *x = flush(widened(value)));
    }
    let lanes = pair[0].map_or(0, <[bf16]>::len);
    for (sums, w) in sums.iter_mut().zip(values.chunks_exact(4)) {
        let w = [[w[0], w[1]], [w[2], w[3]]].map(|w| widened(bf16::from_le_bytes(w)));
        for (half, sums) in sums[..lanes].as_chunks_mut::<HALF>().0.iter_mut().enumerate() {
            add_product(sums, &x[1].as_chunks().0[half], w[1]);
            add_product(sums, &x[0].as_chunks().0[half], w[0]);
        }
    }
}

/// `sums[i] = fused(sums[i], x[i], w)`. Where no sum is near the smallest normal number, that is a plain multiply-add.
#[inline(always)]
fn add_product(sums: &mut [f32; HALF], x: &[f32; HALF], w: f32) {
    // 0 becomes the largest: it is no problem.
    let magnitude = |value: f32| value.abs().to_bits().wrapping_sub(1);
    let mut smallest = u32::MAX;
    let mut added = [0.0; HALF];
    for ((added, &sum), &x) in added.iter_mut().zip(&*sums).zip(x) {
        *added = w.mul_add(x, sum);
        smallest = smallest.min(magnitude(*added)).min(magnitude(sum));
    }
    if smallest < f32::MIN_POSITIVE.to_bits() {
        sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum = fused(*sum, x, w));
    } else {
        *sums = added;
    }
}
