//! One pass over the stream: which columns of a tile it computes, and where they are.

use crate::{LANES, PanelLayout, TILE, VECTORS};

/// The columns `16 (2 pair + v) + 8 half ..` (8 of them) of its vectors v = 0, 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass {
    /// Which columns of each vector of 16: the first or the last eight.
    pub(super) half: usize,
    /// Which two vectors of 16.
    pub(super) pair: usize,
    /// Vectors that have columns: 1 or 2. The other one is computed as 0.
    pub(super) vectors: usize,
}

/// Columns of one vector.
const COLUMNS: usize = LANES / 2;
/// Pairs of vectors of 16 columns in a tile.
const PAIRS: usize = VECTORS / 2;

impl Pass {
    /// The passes that compute `columns` columns of a tile, a multiple of 16.
    pub(super) fn of_tile(columns: usize) -> Vec<Pass> {
        let vectors = columns.div_ceil(LANES);
        let pairs = (0..PAIRS).filter(|pair| 2 * pair < vectors);
        pairs.flat_map(|pair| [0, 1].map(|half| Pass { half, pair, vectors: (vectors - 2 * pair).min(2) })).collect()
    }

    /// The first column of vector `v`.
    fn column(&self, v: usize) -> i32 {
        (LANES * (2 * self.pair + v) + COLUMNS * self.half) as i32
    }

    /// Offset, in a row of a plain panel of X, of the 32 bytes that have the columns of both pairs of this half.
    pub(super) fn plain_row(&self) -> i32 {
        (TILE / 2 * self.half) as i32
    }

    /// Offset, in a row of a VNNI panel of X, of vector `v`.
    pub(super) fn vnni_row(&self, v: usize) -> i32 {
        4 * self.column(v)
    }

    /// Offset of the output, in bytes, in a row of this layout; `None` is f32.
    pub(super) fn output(&self, layout: Option<PanelLayout>) -> i32 {
        match layout {
            Some(PanelLayout::Plain) => self.plain_row() + (2 * 4 * self.pair) as i32,
            Some(PanelLayout::Vnni) | None => 4 * self.column(0),
        }
    }

    /// Columns that it computes, for the remark in a listing.
    pub(super) fn text(&self) -> String {
        let first = |v| self.column(v);
        let last = |v| self.column(v) + COLUMNS as i32 - 1;
        match self.vectors {
            1 => format!("{}-{}", first(0), last(0)),
            _ => format!("{}-{} and {}-{}", first(0), last(0), first(1), last(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::lane_position;

    #[test]
    fn passes_compute_every_column_once() {
        for columns in [16, 32, 48, 64] {
            let passes = Pass::of_tile(columns);
            let vectors = passes.iter().flat_map(|pass| (0..pass.vectors).map(move |v| pass.column(v)));
            let mut all: Vec<i32> = vectors.flat_map(|first| first..first + COLUMNS as i32).collect();
            all.sort_unstable();
            assert_eq!(all, (0..columns as i32).collect::<Vec<_>>());
        }
    }

    /// Where unpacked and packed bytes are in a plain row.
    #[test]
    fn offsets_are_those_of_the_layout() {
        for pass in Pass::of_tile(TILE) {
            for v in 0..2 {
                for lane in 0..2 {
                    let column = pass.column(v) as usize + 4 * lane;
                    let within = 16 * lane + 4 * (2 * pass.pair + v);
                    assert_eq!(lane_position(column), pass.plain_row() as usize + within);
                    let packed = 16 * lane + 4 * v;
                    assert_eq!(lane_position(column), pass.output(Some(PanelLayout::Plain)) as usize + packed);
                }
            }
        }
    }
}
