//! Sizes of row kernels, and the loop over tiles.

use crate::layout::{padded, tiles};
use crate::{KernelError, Parallel, TILE};

/// The most features a row kernel takes, so that offsets within a tile fit 32 bits.
const MAX_FEATURES: usize = 1 << 20;

/// Refuses a number of features that a row kernel cannot have.
pub(crate) fn check_features(kernel: &'static str, features: usize) -> Result<(), KernelError> {
    if (1..=MAX_FEATURES).contains(&features) {
        return Ok(());
    }
    Err(KernelError::Dimension { kernel, dimension: "number of features", found: features, expected: "1 to 1048576" })
}

/// Refuses an empty batch.
pub(crate) fn check_columns(kernel: &'static str, columns: usize) -> Result<(), KernelError> {
    if columns > 0 {
        return Ok(());
    }
    Err(KernelError::Dimension { kernel, dimension: "N", found: 0, expected: "at least 1" })
}

/// Elements of one tile, f32 or panel.
pub(crate) fn tile_elements(features: usize) -> usize {
    padded(features) * TILE
}

/// Columns of tile `tile` when there are `columns` in all.
pub(crate) fn tile_columns(columns: usize, tile: usize) -> usize {
    (columns - tile * TILE).min(TILE)
}

/// Calls `body` with the number of every tile and its columns (1..=64), in any order.
pub(crate) fn for_each_tile(parallel: Parallel<'_>, columns: usize, body: impl Fn(usize, usize) + Send + Sync) {
    parallel.for_each(tiles(columns), |tile| body(tile, tile_columns(columns, tile)));
}
