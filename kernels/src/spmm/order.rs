//! Which outputs make a row block.

use super::overlap;
use super::plan::{ROW_BLOCK, SpmmPlan};
use crate::Block;
use crate::layout::padded;
use crate::pattern::nonzero_blocks;

/// The output features of every row block, if four consecutive ones are not the best choice. Each feature below M, rounded up to whole row
/// blocks, occurs once.
pub(super) fn row_blocks(plan: &SpmmPlan, weights: &[i8]) -> Option<Vec<[usize; ROW_BLOCK]>> {
    match plan.block {
        Block::B1x4 if plan.scatters() => Some(by_length(weights, plan.k, plan.block.inputs())),
        Block::Unstructured if plan.scatters() => Some(overlap::row_blocks(weights, plan.k)),
        _ => None,
    }
}

/// Four in a row.
pub(super) fn in_order(m: usize) -> Vec<[usize; ROW_BLOCK]> {
    (0..m.div_ceil(ROW_BLOCK)).map(|row| std::array::from_fn(|i| row * ROW_BLOCK + i)).collect()
}

/// The weights of `row_blocks`, row-major; those of features beyond the matrix are zeros.
pub(super) fn gather(weights: &[i8], k: usize, row_blocks: &[[usize; ROW_BLOCK]]) -> Vec<i8> {
    let mut gathered = vec![0; row_blocks.len() * ROW_BLOCK * k];
    for (to, &from) in gathered.chunks_exact_mut(k).zip(row_blocks.as_flattened()) {
        if let Some(row) = weights.get(from * k..(from + 1) * k) {
            to.copy_from_slice(row);
        }
    }
    gathered
}

/// Outputs by their number of blocks of `inputs` input features.
fn by_length(weights: &[i8], k: usize, inputs: usize) -> Vec<[usize; ROW_BLOCK]> {
    let mut rows: Vec<usize> = (0..padded(weights.len() / k)).collect();
    rows.sort_by_cached_key(|&row| {
        let row = weights.get(row * k..(row + 1) * k).unwrap_or_default();
        nonzero_blocks(row, k, inputs).count()
    });
    rows.as_chunks().0.to_vec()
}
