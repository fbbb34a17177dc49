//! The plan in plain Rust: the additions of the generated code in the same order, so the bits are the same.

use super::desc::EmbeddingPlan;
use super::kernel::{EmbeddingIds, EmbeddingTables};
use crate::TILE;

/// One tile, whose first token is `first`.
pub(super) fn tile(
    plan: &EmbeddingPlan,
    tables: &EmbeddingTables<'_>,
    ids: &EmbeddingIds<'_>,
    first: usize,
    x: &mut [f32],
    tokens: usize,
) {
    let row = |id: u32| id as usize * plan.features..(id as usize + 1) * plan.features;
    for t in 0..tokens {
        let word = &tables.word[row(ids.word[first + t])];
        let kind = &tables.kind[row(ids.kind[first + t])];
        let position = &tables.position[row(ids.position[first + t])];
        for (f, ((w, k), p)) in word.iter().zip(kind).zip(position).enumerate() {
            x[f * TILE + t] = (w + k) + p;
        }
    }
}
