//! Packing s32 to bytes and storing them as rows of a panel.

use lacuna_jit::{Zmm, ptr};

use super::constants::Constants;
use super::pack::{OutputLanes, Pack};
use super::regs::EpilogueRegs;
use super::verbs::Verbs;
use crate::layout::VECTOR_BYTES;
use crate::{PanelLayout, Sign};

/// Packs and stores `acc[row][vector]`, four rows of s32. Destroys `acc`; of `regs` it uses `rows`, `constants` and one of `temps`.
pub(crate) fn emit_store_bytes(
    a: &mut impl Verbs,
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
    a: &mut impl Verbs,
    layout: PanelLayout,
    sign: Sign,
    packs: &[Pack],
    regs: &EpilogueRegs<'_>,
    lanes: OutputLanes<'_>,
) {
    match layout {
        PanelLayout::Plain => {
            a.remark("store plain rows");
            a.store_plain(sign, packs, regs, lanes);
        }
        PanelLayout::Vnni => emit_store_vnni(a, sign, packs, regs, lanes),
    }
}

/// Columns of four rows are packed row by row within each lane; a byte transpose makes them column by column.
fn emit_store_vnni(a: &mut impl Verbs, sign: Sign, packs: &[Pack], regs: &EpilogueRegs<'_>, lanes: OutputLanes<'_>) {
    a.remark("store VNNI row");
    let transpose = regs.temps[0];
    a.vmovdqu(transpose, ptr(regs.constants) + Constants::TRANSPOSE);
    for pack in packs {
        let bytes = pack.emit_bytes(a, sign, regs.constants);
        a.vpshufb(bytes, bytes, transpose);
        let out = regs.rows[0] + pack.index as i32 * VECTOR_BYTES;
        a.store_columns(out, bytes, pack.index, lanes);
    }
}
