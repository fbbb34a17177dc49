//! The plan interpreted in plain Rust: walks the same stream, row blocks and tiles as the generated code, and gives the same
//! bits. It is the portable tier, and the second reference that tells a wrong schedule from a wrong encoding.

use super::plan::{ROW_BLOCK, SpmmPlan};
use super::weights::SpmmWeights;
use crate::epilogue::finish_block;
use crate::layout::LANE_POSITIONS;
use crate::{Block, Output, PanelLayout, TILE};

/// Row block `row` (in stream order) of one tile. `x` is the tile, `out` the row block's output in it.
#[inline(always)]
pub(super) fn row_block(plan: &SpmmPlan, weights: &SpmmWeights, row: usize, x: &[u8], columns: usize, out: Output<'_>) {
    let mut acc = [[0i32; TILE]; ROW_BLOCK];
    let mut features = [[0u8; TILE]; 4];
    let first = weights.group_offsets[row];
    for group in first..first + weights.rows[row].groups as usize {
        let rows = weights.group_indices(plan, group).map(|index| &x[index * 8..]);
        let four_weights = weights.group_weights(group).chunks_exact(4);
        match plan.cover() {
            Block::B1x4 => {
                for ((acc, row), weights) in acc.iter_mut().zip(rows).zip(four_weights) {
                    load_dwords(row, &mut features);
                    add(acc, &features, weights);
                }
            }
            Block::B4x4 => {
                rows.for_each(|row| load_dwords(row, &mut features));
                acc.iter_mut().zip(four_weights).for_each(|(acc, weights)| add(acc, &features, weights));
            }
            _ => {
                features.iter_mut().zip(rows).for_each(|(feature, row)| feature.copy_from_slice(&row[..TILE]));
                acc.iter_mut().zip(four_weights).for_each(|(acc, weights)| add(acc, &features, weights));
            }
        }
    }
    if plan.input() == PanelLayout::Plain {
        // Rows of a plain panel were added in lane order.
        acc = acc.map(|row| std::array::from_fn(|column| row[usize::from(LANE_POSITIONS[column])]));
    }
    finish_block(&plan.epilogue, &acc, weights.params.block(row), columns, out);
}

/// Four input features of a row of a VNNI panel.
#[inline(always)]
fn load_dwords(row: &[u8], features: &mut [[u8; TILE]; 4]) {
    for (column, four) in row[..4 * TILE].chunks_exact(4).enumerate() {
        (0..4).for_each(|i| features[i][column] = four[i]);
    }
}

/// `acc += sum_i weights[i] features[i]`.
#[inline(always)]
fn add(acc: &mut [i32; TILE], features: &[[u8; TILE]; 4], weights: &[u8]) {
    for (feature, &weight) in features.iter().zip(weights) {
        let weight = i32::from(weight as i8);
        acc.iter_mut().zip(feature).for_each(|(acc, &x)| *acc += weight * i32::from(x));
    }
}
