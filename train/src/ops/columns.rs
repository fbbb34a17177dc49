//! Some columns of tiles, as matrices whose rows are contiguous.

use std::marker::PhantomData;
use std::ops::Range;

use lacuna_kernels::TILE;

use crate::tiles::Tiles;

/// The parts of a range of columns that lie in one tile each: (tile, first column in the tile, first column of the range, columns).
fn parts(range: &Range<usize>) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    let range = range.clone();
    (range.start / TILE..range.end.div_ceil(TILE)).map(move |tile| {
        let start = range.start.max(tile * TILE);
        let end = range.end.min((tile + 1) * TILE);
        (tile, start - tile * TILE, start - range.start, end - start)
    })
}

/// Copies all features of the columns `range` to `rows`, `[features][stride]`.
pub(crate) fn gather(tiles: &Tiles, range: &Range<usize>, rows: &mut [f32], stride: usize) {
    let size = tiles.tile_elements();
    for (tile, column, at, count) in parts(range) {
        let from = tiles.data()[tile * size..].chunks_exact(TILE).take(tiles.features());
        for (from, row) in from.zip(rows.chunks_exact_mut(stride)) {
            row[at..at + count].copy_from_slice(&from[column..column + count]);
        }
    }
}

/// Tiles of which tasks write disjoint columns.
pub(crate) struct SharedColumns<'a> {
    data: *mut f32,
    features: usize,
    columns: usize,
    tile_elements: usize,
    lifetime: PhantomData<&'a mut f32>,
}

// SAFETY: the pointer is written through in `scatter` only, whose callers promise disjoint columns.
unsafe impl Sync for SharedColumns<'_> {}

impl<'a> SharedColumns<'a> {
    pub(crate) fn new(tiles: &'a mut Tiles) -> SharedColumns<'a> {
        let (features, columns, tile_elements) = (tiles.features(), tiles.columns(), tiles.tile_elements());
        SharedColumns { data: tiles.data_mut().as_mut_ptr(), features, columns, tile_elements, lifetime: PhantomData }
    }

    /// Copies `rows`, `[features][stride]`, to the columns `range`.
    ///
    /// # Safety
    /// - No other task writes or reads these columns now.
    ///
    /// # Panics
    /// If there are no such columns.
    pub(crate) unsafe fn scatter(&self, range: &Range<usize>, rows: &[f32], stride: usize) {
        assert!(range.end <= self.columns, "columns of a sequence");
        for (tile, column, at, count) in parts(range) {
            for (feature, row) in rows.chunks_exact(stride).take(self.features).enumerate() {
                let from = &row[at..at + count];
                let offset = tile * self.tile_elements + feature * TILE + column;
                // SAFETY: the feature and the columns are those of the tiles, whose memory is borrowed for 'a. Nobody else uses the
                // columns, by the caller's promise.
                unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), self.data.add(offset), count) };
            }
        }
    }
}
