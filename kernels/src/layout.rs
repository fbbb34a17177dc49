//! Where each element of an activation lives. All kernels, tests and references use these functions, so a layout is
//! written down once.
//!
//! Activations are feature-major in tiles of [`TILE`] = 64 columns. For F features (stored as [`padded`]`(F)`, a multiple of 4)
//! and N columns (stored as [`tiles`]`(N)` whole tiles) there are three layouts of the same number of elements:
//!
//! | layout | shape | element | order of columns in a row |
//! | --- | --- | --- | --- |
//! | plain panel | `[tile][feature][64]` | u8 or s8 | [`lane_position`] |
//! | VNNI panel | `[tile][feature/4][64][4]` | u8 or s8 | natural; 4 consecutive features of a column in one dword |
//! | f32 tile | `[tile][feature][64]` | f32 | natural |
//!
//! Elements of padding features and padding columns hold unspecified values: no kernel lets them reach another element.

use serde::{Deserialize, Serialize};

use crate::ActivationBits;

/// Columns in one tile.
pub const TILE: usize = 64;
/// 32-bit lanes of one vector; columns of a tail are computed in steps of this many.
pub const LANES: usize = 16;
/// Vectors of 32-bit elements in one row of a tile.
pub const VECTORS: usize = TILE / LANES;
/// Bytes of one vector, for addresses in generated code.
pub(crate) const VECTOR_BYTES: i32 = 4 * LANES as i32;

/// Tiles that hold `columns` columns.
pub const fn tiles(columns: usize) -> usize {
    columns.div_ceil(TILE)
}

/// Features as stored: rounded up to a multiple of 4.
pub const fn padded(features: usize) -> usize {
    features.next_multiple_of(4)
}

/// Elements of an activation of `features` x `columns` in any of the three layouts; `usize::MAX`, which no buffer has, if there
/// are more than that.
pub const fn elements(features: usize, columns: usize) -> usize {
    tiles(columns).saturating_mul(padded(features)).saturating_mul(TILE)
}

/// Byte position, within a row of a plain panel, of column `column` of its tile.
///
/// Column `16 v + 4 l + c` sits at `16 l + 4 v + c` (l, v, c in 0..4). Interleaving four rows bytewise and then wordwise within
/// 128-bit lanes (`vpunpck[lh]bw`, `vpunpck[lh]wd`) then yields four vectors of 16 consecutive columns each, and packing four
/// such vectors (`vpackssdw`, `vpackuswb`) leads back to this order.
pub const fn lane_position(column: usize) -> usize {
    let (v, l, c) = (column / 16, column / 4 % 4, column % 4);
    16 * l + 4 * v + c
}

/// [`lane_position`] of every column of a tile, for loops over rows.
pub(crate) static LANE_POSITIONS: [u8; TILE] = {
    let mut positions = [0; TILE];
    let mut column = 0;
    while column < TILE {
        positions[column] = lane_position(column) as u8;
        column += 1;
    }
    positions
};

/// Index of an element in a plain panel.
pub const fn plain_index(features: usize, feature: usize, column: usize) -> usize {
    (column / TILE * padded(features) + feature) * TILE + lane_position(column % TILE)
}

/// Index of an element in a VNNI panel.
pub const fn vnni_index(features: usize, feature: usize, column: usize) -> usize {
    column / TILE * padded(features) * TILE + feature / 4 * (4 * TILE) + column % TILE * 4 + feature % 4
}

/// Index of an element in an f32 tile.
pub const fn f32_index(features: usize, feature: usize, column: usize) -> usize {
    (column / TILE * padded(features) + feature) * TILE + column % TILE
}

/// One of the two layouts of 8-bit activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PanelLayout {
    /// `[tile][feature][64]`, lane order of [`lane_position`]: what the sparse kernels read.
    Plain,
    /// `[tile][feature/4][64][4]`: what dense GEMM and attention read.
    Vnni,
}

impl PanelLayout {
    /// Index of an element in this layout.
    pub const fn index(self, features: usize, feature: usize, column: usize) -> usize {
        match self {
            PanelLayout::Plain => plain_index(features, feature, column),
            PanelLayout::Vnni => vnni_index(features, feature, column),
        }
    }

    /// The name used in kernel names.
    pub const fn name(self) -> &'static str {
        match self {
            PanelLayout::Plain => "plain",
            PanelLayout::Vnni => "vnni",
        }
    }
}

/// In debug builds panics for codes of a panel of `features` x `columns` that have more bits than `bits`.
pub(crate) fn debug_check_codes(
    bits: ActivationBits,
    layout: PanelLayout,
    panel: &[u8],
    (features, columns): (usize, usize),
) {
    let largest = || {
        let all = (0..features).flat_map(|feature| (0..columns).map(move |column| (feature, column)));
        all.map(|(feature, column)| panel[layout.index(features, feature, column)]).max().unwrap_or(0)
    };
    debug_assert!(bits == ActivationBits::Eight || largest() <= bits.largest(), "codes of more than {bits} bits");
}

/// Which numbers the bytes of a panel are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sign {
    /// 0..=255.
    Unsigned,
    /// 0..=127: codes of seven bits.
    Unsigned7,
    /// -128..=127.
    Signed,
}

impl Sign {
    /// That of codes which linear layers read.
    pub const fn of(bits: ActivationBits) -> Sign {
        match bits {
            ActivationBits::Seven => Sign::Unsigned7,
            ActivationBits::Eight => Sign::Unsigned,
        }
    }

    /// The least and the largest number.
    pub const fn range(self) -> (i16, i16) {
        match self {
            Sign::Unsigned => (0, 255),
            Sign::Unsigned7 => (0, 127),
            Sign::Signed => (-128, 127),
        }
    }

    /// `u8`, `u7` or `s8`.
    pub const fn name(self) -> &'static str {
        match self {
            Sign::Unsigned => "u8",
            Sign::Unsigned7 => "u7",
            Sign::Signed => "s8",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_is_a_bijection() {
        let (features, columns) = (7, 130);
        let indices: [fn(usize, usize, usize) -> usize; 3] = [plain_index, vnni_index, f32_index];
        for index in indices {
            let mut seen = vec![false; elements(features, columns)];
            for feature in 0..features {
                for column in 0..columns {
                    assert!(!std::mem::replace(&mut seen[index(features, feature, column)], true));
                }
            }
        }
    }

    #[test]
    fn four_tokens_from_a_multiple_of_four_are_one_dword() {
        for first in (0..TILE).step_by(4) {
            let position = lane_position(first);
            assert_eq!(position % 4, 0);
            assert!((0..4).all(|c| lane_position(first + c) == position + c));
        }
    }
}
