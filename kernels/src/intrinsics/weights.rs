//! The weights as the loop walks them.

use crate::epilogue::RowParams;
use crate::{LANES, TILE};

/// Output features per row block.
pub(super) const ROWS: usize = 4;
/// Blocks per group: `vpdpbusd` multiplies four bytes per lane.
pub(super) const GROUP: usize = 4;

/// How a group stores the offset of a row of X.
pub(super) trait Offset: Copy {
    /// For input feature `feature`, which must be below [`Offset::FEATURES`].
    fn of(feature: usize) -> Self;
    /// Bytes from the start of a tile of X to the row.
    fn bytes(self) -> usize;
    /// Input features that can be stored.
    const FEATURES: usize;
}

impl Offset for u16 {
    const FEATURES: usize = (1 << 16) / 8;
    fn of(feature: usize) -> u16 {
        (feature * 8) as u16
    }
    #[inline(always)]
    fn bytes(self) -> usize {
        usize::from(self) * 8 // a scaled index costs nothing
    }
}

impl Offset for u32 {
    const FEATURES: usize = 1 << 26;
    fn of(feature: usize) -> u32 {
        (feature * TILE) as u32
    }
    #[inline(always)]
    fn bytes(self) -> usize {
        self as usize
    }
}

/// Four blocks of one row block.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Group<O> {
    pub(super) offsets: [O; GROUP],
    /// `[output feature][block]`, each row as the dword that `vpdpbusd` takes.
    pub(super) weights: [i32; ROWS],
}

/// Four output features.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowBlock {
    /// Number of groups.
    pub(super) groups: usize,
    /// Elements from the start of a tile of Y to the first of its rows.
    pub(super) out: usize,
}

/// `y = acc * multiplier + addend` of four output features.
#[derive(Debug, Clone, Copy)]
pub(super) struct Linear {
    pub(super) multiplier: [f32; ROWS],
    pub(super) addend: [f32; ROWS],
}

/// Groups of all row blocks, one row block after the other, those with few groups first.
#[derive(Debug, Clone)]
pub(super) struct Stream<O> {
    pub(super) groups: Vec<Group<O>>,
    pub(super) rows: Vec<RowBlock>,
    /// One for each row block.
    pub(super) linear: Vec<Linear>,
}

impl<O: Offset> Stream<O> {
    /// Packs row-major `[m][k]` weights whose lengths were checked.
    pub(super) fn pack(m: usize, k: usize, weights: &[i8], params: &[RowParams]) -> Stream<O> {
        let weight = |row: usize, column: usize| if row < m { weights[row * k + column] } else { 0 };
        let row_blocks = (0..m.div_ceil(ROWS)).map(|row_block| {
            let rows: [usize; ROWS] = std::array::from_fn(|r| row_block * ROWS + r);
            let columns: Vec<usize> =
                (0..k).filter(|&column| rows.iter().any(|&row| weight(row, column) != 0)).collect();
            let groups: Vec<Group<O>> =
                columns.chunks(GROUP).map(|columns| Group::pack(columns, &rows, weight)).collect();
            (RowBlock { groups: groups.len(), out: rows[0] * TILE }, Linear::of(&rows, params), groups)
        });
        let mut row_blocks: Vec<_> = row_blocks.collect();
        row_blocks.sort_by_key(|(row, ..)| row.groups); // the loop exit predicts
        Stream {
            rows: row_blocks.iter().map(|&(row, ..)| row).collect(),
            linear: row_blocks.iter().map(|&(_, linear, _)| linear).collect(),
            groups: row_blocks.into_iter().flat_map(|(.., groups)| groups).collect(),
        }
    }
}

impl Linear {
    fn of(rows: &[usize; ROWS], params: &[RowParams]) -> Linear {
        let params = rows.map(|row| params.get(row).copied().unwrap_or_default());
        Linear { multiplier: params.map(|p| p.multiplier), addend: params.map(|p| p.addend) }
    }
}

impl<O: Offset> Group<O> {
    /// The weights of `rows` at one to four columns; missing blocks repeat the last column with weights 0.
    fn pack(columns: &[usize], rows: &[usize; ROWS], weight: impl Fn(usize, usize) -> i8) -> Group<O> {
        let last = columns[columns.len() - 1];
        let offsets = std::array::from_fn(|i| O::of(columns.get(i).copied().unwrap_or(last)));
        let dword = |row: usize| {
            let bytes = std::array::from_fn(|i| columns.get(i).map_or(0, |&column| weight(row, column)) as u8);
            i32::from_le_bytes(bytes)
        };
        Group { offsets, weights: rows.map(dword) }
    }
}

const _: () = assert!(TILE == 4 * LANES);
