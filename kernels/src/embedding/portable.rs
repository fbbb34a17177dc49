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
    let features = plan.features;
    let row = |table: &'_ [f32], id: u32| -> std::ops::Range<usize> {
        debug_assert!((id as usize + 1) * features <= table.len());
        id as usize * features..(id as usize + 1) * features
    };
    for t in 0..tokens {
        let word = &tables.word[row(tables.word, ids.word[first + t])];
        let kind = &tables.kind[row(tables.kind, ids.kind[first + t])];
        let position = &tables.position[row(tables.position, ids.position[first + t])];
        for f in 0..features {
            x[f * TILE + t] = (word[f] + kind[f]) + position[f];
        }
    }
}
