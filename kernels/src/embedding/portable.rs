//! The plan in plain Rust: the additions of the generated code in the same order, so the bits are the same.

use super::params::{EmbeddingIds, EmbeddingTables};
use super::plan::EmbeddingPlan;
use crate::TILE;

/// One tile, whose first column is `first`.
pub(super) fn tile(
    plan: &EmbeddingPlan,
    tables: &EmbeddingTables<'_>,
    ids: &EmbeddingIds<'_>,
    first: usize,
    x: &mut [f32],
    columns: usize,
) {
    let row = |id: u32| id as usize * plan.features..(id as usize + 1) * plan.features;
    for n in 0..columns {
        let word = &tables.word[row(ids.word[first + n])];
        let kind = &tables.kind[row(ids.kind[first + n])];
        let position = &tables.position[row(ids.position[first + n])];
        for (f, ((w, k), p)) in word.iter().zip(kind).zip(position).enumerate() {
            x[f * TILE + n] = (w + k) + p;
        }
    }
}
