//! The plan interpreted in plain Rust: walks the same stream, block rows and tiles as the generated code, and gives the same
//! bits. It is the portable tier, and the second oracle that tells a wrong schedule from a wrong encoding.

use super::plan::{STRIP, SpmmPlan};
use super::weights::SpmmWeights;
use crate::TILE;
use crate::epilogue::{BlockOutput, finish_block};
use crate::layout::LANE_POSITIONS;

/// Strip `strip` of row block `row` (in stream order) of one tile. `x` is the tile, `out` the strip's output in it.
#[inline(always)]
pub(super) fn strip(
    plan: &SpmmPlan,
    weights: &SpmmWeights,
    row: usize,
    strip: usize,
    x: &[u8],
    tokens: usize,
    out: BlockOutput<'_>,
) {
    let (lists_per_row, outputs) = (plan.lists_per_row(), plan.list_outputs());
    let mut acc = [[0i32; TILE]; STRIP];
    let mut group = weights.group_offsets[row];
    for (i, list) in weights.lists[row * lists_per_row..][..lists_per_row].iter().enumerate() {
        // The outputs of the strip that this list has: all four, or output i alone.
        let (first, acc) = if outputs == 1 { (0, &mut acc[i..i + 1]) } else { (strip * STRIP, &mut acc[..]) };
        for group in group..group + list.groups as usize {
            let mut features = [[0u8; TILE]; 4];
            load_group(weights, plan, group, x, &mut features);
            let values = &weights.group_weights(plan, group)[first * 4..];
            for (acc, values) in acc.iter_mut().zip(values.chunks_exact(4)) {
                for (feature, &weight) in features.iter().zip(values) {
                    let weight = i32::from(weight as i8);
                    acc.iter_mut().zip(feature).for_each(|(acc, &x)| *acc += weight * i32::from(x));
                }
            }
        }
        group += (list.groups as usize).next_multiple_of(plan.stored_multiple());
    }
    if plan.group_indices() > 1 {
        // Rows of a plain panel were added in lane order.
        acc = acc.map(|row| std::array::from_fn(|token| row[usize::from(LANE_POSITIONS[token])]));
    }
    let params = weights.params.block(row * plan.row_outputs() / STRIP + strip);
    finish_block(&plan.epilogue, &acc, params, tokens, out);
}

/// The activations of the four input features of a group, in the order of the panel.
#[inline(always)]
fn load_group(weights: &SpmmWeights, plan: &SpmmPlan, group: usize, x: &[u8], features: &mut [[u8; TILE]; 4]) {
    for (i, index) in weights.group_indices(plan, group).enumerate() {
        if plan.group_indices() > 1 {
            features[i].copy_from_slice(&x[index * 8..][..TILE]);
        } else {
            for (token, four) in x[index * 8..][..4 * TILE].chunks_exact(4).enumerate() {
                (0..4).for_each(|i| features[i][token] = four[i]);
            }
        }
    }
}
