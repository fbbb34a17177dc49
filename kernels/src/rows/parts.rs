//! The parts of a tile's columns that one call of generated code computes.

use lacuna_jit::Isa;

use crate::layout::lane_position;
use crate::{LANES, PanelLayout};

/// Columns of a tile that one call computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its first column: an offset in elements in a row of an f32 tile.
    pub(crate) first: usize,
    /// Columns of the tile from the first on.
    pub(crate) columns: usize,
}

impl Part {
    /// Offset in bytes in a row of a panel.
    pub(crate) fn panel_offset(self, layout: PanelLayout) -> usize {
        match layout {
            PanelLayout::Plain => lane_position(self.first),
            PanelLayout::Vnni => 4 * self.first,
        }
    }
}

/// The parts of a tile of `columns` columns. With 512 bits it is the whole tile. With 256 bits a part is 8 columns from `first` on, and 8
/// columns from `first + 16` on: together they are 8 consecutive bytes of two 16-byte lanes of a plain row.
pub(crate) fn parts(isa: Isa, columns: usize) -> impl Iterator<Item = Part> {
    let (step, firsts) = match isa {
        Isa::Avx2(_) => (2 * LANES, [0, LANES / 2].as_slice()),
        Isa::Avx512Vnni(_) | Isa::Portable => (columns.max(1), [0].as_slice()),
    };
    (0..columns)
        .step_by(step)
        .flat_map(move |column| firsts.iter().map(move |&first| column + first))
        .filter(move |&first| first < columns)
        .map(move |first| Part { first, columns: columns - first })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TILE;

    #[test]
    fn parts_cover_every_column() {
        for isa in crate::support::tiers() {
            for columns in 0..=TILE {
                let mut seen = [false; TILE];
                for part in parts(isa, columns) {
                    match isa {
                        Isa::Avx2(_) => {
                            let halves = [part.first, part.first + LANES];
                            halves.iter().flat_map(|&first| first..first + LANES / 2).for_each(|c| seen[c] = true);
                        }
                        _ => seen[..part.columns].fill(true),
                    }
                }
                assert!(seen[..columns].iter().all(|&seen| seen), "{isa}, {columns} columns");
            }
        }
    }
}
