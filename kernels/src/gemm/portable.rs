//! The plan interpreted in plain Rust: walks the same packed weights, blocks and tiles as the generated code, and gives the
//! same bits.

use super::plan::{GemmPlan, ROW_BLOCK, ROW_BLOCKS};
use super::weights::GemmWeights;
use crate::epilogue::finish_block;
use crate::{Output, TILE};

/// One row block of four output features of one tile. `x` is the tile, `out` the row block's output in it.
#[inline(always)]
pub(super) fn row_block(
    plan: &GemmPlan,
    weights: &GemmWeights,
    row_block: usize,
    x: &[u8],
    columns: usize,
    out: Output<'_>,
) {
    let (block, within) = (row_block / ROW_BLOCKS, row_block % ROW_BLOCKS);
    let row_blocks = ROW_BLOCKS.min(plan.row_blocks() - block * ROW_BLOCKS);
    let step_bytes = row_blocks * ROW_BLOCK * 4;
    let packed = &weights.packed[block * plan.block_bytes()..][..plan.steps() * step_bytes];
    let mut acc = [[0i32; TILE]; ROW_BLOCK];
    for (w, x) in packed.chunks_exact(step_bytes).zip(x.chunks_exact(4 * TILE)) {
        let w = &w[within * ROW_BLOCK * 4..][..ROW_BLOCK * 4];
        let mut features = [[0i32; TILE]; 4]; // one row per input feature, so that the loops below are over columns
        for (column, x) in x.chunks_exact(4).enumerate() {
            (0..4).for_each(|i| features[i][column] = i32::from(x[i]));
        }
        for (acc, w) in acc.iter_mut().zip(w.chunks_exact(4)) {
            for (&w, feature) in w.iter().zip(&features) {
                let w = i32::from(w as i8);
                acc.iter_mut().zip(feature).for_each(|(acc, &x)| *acc += w * x);
            }
        }
    }
    finish_block(&plan.epilogue, &acc, weights.params.block(row_block), columns, out);
}
