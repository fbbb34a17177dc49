//! The heads of the loops of a row kernel, and where the elements of a group of rows are.

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Gpr, Mem, Zmm, ptr};

use super::verbs::RowVerbs;
use crate::TILE;
use crate::layout::VECTOR_BYTES;

/// Bytes of one row of an f32 tile.
pub(crate) const F32_ROW_BYTES: i32 = 4 * TILE as i32;
/// Bytes of one row of a panel.
pub(crate) const PANEL_ROW_BYTES: i32 = TILE as i32;
/// Rows that are handled together: one row of a VNNI panel.
pub(crate) const GROUP: usize = 4;

/// Emits a loop over `rows` rows in groups of four with `count` as its counter; `body` gets the number of rows of a
/// group and advances its own pointers. A last group of 1 to 3 rows is emitted after the loop.
pub(crate) fn emit_row_groups<W>(a: &mut Asm<W>, rows: usize, count: Gpr, mut body: impl FnMut(&mut Asm<W>, usize)) {
    if rows >= GROUP {
        let group = a.new_dynamic_label();
        dynasm!(a ; .arch x64 ; mov Rd(count), (rows / GROUP) as i32);
        a.align_loop(32);
        dynasm!(a ; .arch x64 ; =>group);
        body(a, GROUP);
        dynasm!(a ; .arch x64 ; dec Rd(count) ; jnz =>group);
    }
    if !rows.is_multiple_of(GROUP) {
        body(a, rows % GROUP);
    }
}

/// Emits a loop over `rows` rows in groups of four from the last to the first, with `count` as its counter: what the pass before
/// read last is still in L1. `body` gets the number of rows of a group and first moves its own pointers back to it. A last group
/// of 1 to 3 rows is emitted before the loop.
pub(crate) fn emit_row_groups_back<W>(
    a: &mut Asm<W>,
    rows: usize,
    count: Gpr,
    mut body: impl FnMut(&mut Asm<W>, usize),
) {
    if !rows.is_multiple_of(GROUP) {
        body(a, rows % GROUP);
    }
    emit_row_groups(a, rows / GROUP * GROUP, count, body);
}

/// Emits `body` for every group of up to four of `rows` rows, for every number of vectors: it gets the registers of the group's
/// rows, `[f mod 4][v]` of `y`, and how many rows the group has. `columns` is read, `count` is the counter.
pub(crate) fn emit_rows<W>(
    a: &mut Asm<W>,
    rows: usize,
    [columns, count]: [Gpr; 2],
    y: &[Zmm],
    mut body: impl FnMut(&mut Asm<W>, &[Vec<Zmm>], usize),
) where
    Asm<W>: RowVerbs,
{
    a.emit_by_vectors(columns, |a, vectors| {
        let y = group_of(y, vectors);
        a.note(format!("rows of {vectors} vectors of columns"));
        emit_row_groups(a, rows, count, |a, rows| body(a, &y, rows));
    });
}

/// Of the registers of a group of rows, `[f mod 4][v]`, those of the first `vectors` vectors of each row.
pub(crate) fn group_of(registers: &[Zmm], vectors: usize) -> Vec<Vec<Zmm>> {
    registers.chunks(registers.len() / GROUP).map(|row| row[..vectors].to_vec()).collect()
}

/// Columns from 16 v on of row `row` of the group of rows of an f32 tile that starts at `group`.
pub(crate) fn element(group: Gpr, row: usize, v: usize) -> Mem {
    ptr(group) + (row as i32 * F32_ROW_BYTES + v as i32 * VECTOR_BYTES)
}
