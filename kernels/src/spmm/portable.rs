//! The plan interpreted in plain Rust: walks the same stream, block rows and tiles as the generated code, and gives the same
//! bits. It is the portable tier, and the second oracle that tells a wrong schedule from a wrong encoding.

use super::plan::{IndexWidth, SpmmPlan};
use super::weights::{BlockRow, SpmmWeights};
use crate::TILE;
use crate::epilogue::{BlockOutput, finish_block};
use crate::layout::LANE_POSITIONS;

/// One block row (number `row` in stream order) of one tile. `x` is the tile, `out` the block row's output in it.
#[inline(always)]
pub(super) fn block_row(
    plan: &SpmmPlan,
    weights: &SpmmWeights,
    row: usize,
    x: &[u8],
    tokens: usize,
    out: BlockOutput<'_>,
) {
    let BlockRow { groups, .. } = weights.block_rows[row];
    let record_bytes = plan.index.record_bytes();
    let first = weights.group_offsets[row];
    let mut lanes = [[0i32; TILE]; 4]; // in lane order while accumulating
    for record in weights.stream[first * record_bytes..].chunks_exact(record_bytes).take(groups as usize) {
        let (indices, values) = record.split_at(4 * plan.index.bytes());
        for (i, index) in indices.chunks_exact(plan.index.bytes()).enumerate() {
            let offset = match plan.index {
                IndexWidth::U16 => usize::from(u16::from_le_bytes([index[0], index[1]])) * 8,
                IndexWidth::U32 => u32::from_le_bytes([index[0], index[1], index[2], index[3]]) as usize,
            };
            let x: &[u8; TILE] = x[offset..offset + TILE].try_into().expect("a row of a panel has 64 bytes");
            for (m, acc) in lanes.iter_mut().enumerate() {
                let weight = i32::from(values[4 * m + i] as i8);
                for (acc, &x) in acc.iter_mut().zip(x) {
                    *acc += weight * i32::from(x);
                }
            }
        }
    }
    let acc = lanes.map(|row| std::array::from_fn(|token| row[usize::from(LANE_POSITIONS[token])]));
    finish_block(&plan.epilogue, &acc, &weights.params[row], tokens, out);
}
