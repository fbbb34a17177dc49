//! Packing s32 to bytes and storing them as rows of a panel.

use lacuna_jit::{Asm, Evex, Mask, Mem, Zmm, ptr};

use super::constants::Constants;
use super::regs::EpilogueRegs;
use crate::layout::VECTOR_BYTES;
use crate::{PanelLayout, Sign};

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
pub(super) struct Pack {
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
    pub(super) fn emit_words(&self, a: &mut Asm) {
        for &[first, second] in &self.pairs {
            a.vpackssdw(first, first, second);
        }
    }

    /// Packs words to bytes.
    fn emit_bytes(&self, a: &mut Asm, sign: Sign) -> Zmm {
        let (first, last) = (self.pairs[0][0], self.pairs[self.pairs.len() - 1][0]);
        match sign {
            Sign::Unsigned => a.vpackuswb(first, first, last),
            Sign::Signed => a.vpacksswb(first, first, last),
        }
        first
    }
}

/// Packs and stores `acc[row][vector]`, four rows of s32. Destroys `acc`; of `regs` it uses `rows`, `constants` and one of `temps`.
pub(crate) fn emit_store_bytes(
    a: &mut Asm,
    layout: PanelLayout,
    sign: Sign,
    acc: &[Vec<Zmm>],
    regs: &EpilogueRegs<'_>,
    lanes: OutputLanes<'_>,
) {
    let packs = Pack::all(layout, acc);
    packs.iter().for_each(|pack| pack.emit_words(a));
    emit_store_words(a, layout, sign, &packs, regs, lanes);
}

/// Packs and stores words. Of `regs` it uses `rows`, `constants` and one of `temps`.
pub(super) fn emit_store_words(
    a: &mut Asm,
    layout: PanelLayout,
    sign: Sign,
    packs: &[Pack],
    regs: &EpilogueRegs<'_>,
    lanes: OutputLanes<'_>,
) {
    match layout {
        PanelLayout::Plain => emit_store_plain(a, sign, packs, &regs.rows, lanes),
        PanelLayout::Vnni => emit_store_vnni(a, sign, packs, regs, lanes),
    }
}

fn emit_store_plain(a: &mut Asm, sign: Sign, packs: &[Pack], rows: &[Mem; 4], lanes: OutputLanes<'_>) {
    a.note("store plain rows");
    for pack in packs {
        let bytes = pack.emit_bytes(a, sign);
        let out = rows[pack.index];
        match lanes {
            OutputLanes::Dwords(mask) => a.vmovdqu32_st(out.k(mask), bytes),
            OutputLanes::WholeRow | OutputLanes::Columns(_) => a.vmovdqu32_st(out, bytes),
        }
    }
}

/// 16 columns of four rows are packed row by row within each lane; a byte transpose makes them column by column.
fn emit_store_vnni(a: &mut Asm, sign: Sign, packs: &[Pack], regs: &EpilogueRegs<'_>, lanes: OutputLanes<'_>) {
    a.note("store VNNI row");
    let transpose = regs.temps[0];
    a.vmovdqu32(transpose, ptr(regs.constants) + Constants::TRANSPOSE);
    for pack in packs {
        let bytes = pack.emit_bytes(a, sign);
        a.vpshufb(bytes, bytes, transpose);
        let out = regs.rows[0] + pack.index as i32 * VECTOR_BYTES;
        match lanes {
            OutputLanes::Columns(masks) => a.vmovdqu32_st(out.k(masks[pack.index]), bytes),
            OutputLanes::WholeRow | OutputLanes::Dwords(_) => a.vmovdqu32_st(out, bytes),
        }
    }
}
