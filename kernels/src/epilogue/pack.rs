//! What is packed to bytes together.

use lacuna_jit::{Mask, Mem, Vector, Zmm};

use crate::PanelLayout;

/// Which part of a row of 8-bit output a store may write.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OutputLanes<'a> {
    /// All computed vectors, and the rest of a plain row: elements that are not computed are padding.
    WholeRow,
    /// Of a plain row these dwords only, one bit each.
    Dwords(Mask),
    /// Of a VNNI row these columns only: a mask per computed vector, one bit per column.
    Columns(&'a [Mask]),
}

/// The vectors of s32 that one vector of bytes is packed from: two at a time to words, and one or two vectors of words to bytes.
///
/// A row of a plain panel is packed from up to four vectors of that row. With fewer, packs repeat one so that every dword
/// group holds its own. 64 bytes of a VNNI row are packed from a vector of each of the four rows.
#[derive(Debug)]
pub(crate) struct Pack {
    /// Which row (plain) or which vector (VNNI).
    pub(super) index: usize,
    /// The first of each two becomes the words.
    pub(super) pairs: Vec<[Zmm; 2]>,
}

impl Pack {
    /// The packs of `acc[row][vector]`, four rows.
    pub(super) fn all(layout: PanelLayout, acc: &[Vec<Zmm>]) -> Vec<Pack> {
        match layout {
            PanelLayout::Plain => {
                let pairs = |row: &Vec<Zmm>| row.chunks(2).map(|pair| [pair[0], pair[pair.len() - 1]]).collect();
                acc.iter().enumerate().map(|(index, row)| Pack { index, pairs: pairs(row) }).collect()
            }
            PanelLayout::Vnni => {
                let pairs = |v: usize| vec![[acc[0][v], acc[1][v]], [acc[2][v], acc[3][v]]];
                (0..acc[0].len()).map(|index| Pack { index, pairs: pairs(index) }).collect()
            }
        }
    }

    /// Packs to words.
    pub(super) fn emit_words(&self, a: &mut impl Vector) {
        for &[first, second] in &self.pairs {
            a.vpackssdw(first, first, second);
        }
    }
}

/// Loads parameters of words from `[[word; 4]; 4]`: one row's into every lane of `params[0]`; or those of rows 0 and 1 into every 128-bit
/// lane of `params[0]`, those of rows 2 and 3 into `params[1]`.
pub(super) fn emit_load_words(a: &mut impl Vector, params: &[Zmm], memory: Mem, row: Option<i32>) {
    match row {
        Some(row) => a.vpbroadcastd(params[0], memory + 8 * row),
        None => {
            a.vbroadcasti128(params[0], memory);
            a.vbroadcasti128(params[1], memory + 16);
        }
    }
}
