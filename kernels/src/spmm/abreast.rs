//! Several row blocks in one loop: tails of 16 (32) columns, four (two) row blocks at a time.
//!
//! So few columns leave most accumulators of one row block unused. Each group adds to them once, so a chain of groups waits for the latency of
//! `vpdpbusd`, and every row block pays for a loop exit. Here an iteration takes one group of each of several lists, and all 16
//! accumulators are in use.
//!
//! Row blocks are sorted by length and stored in multiples of four groups, the last ones with zero weights. Row blocks whose *stored* lists are
//! equally long run abreast, as long as the longest of them. Their lists begin at equal distances: a list is as far from the next as the first is
//! long. Other row blocks, where the stored length changes, run one after the other.
//!
//! Each row block has its own accumulators, `acc[b][m][v]`. Rows of X are those of the tile, or of 16 columns packed by [`super::narrow`], a quarter of
//! the bytes, so that L1 holds them where it does not hold the tile.

use std::mem::offset_of;

use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Evex, Gpr, Mem, Scale, Zmm, ptr};

use super::args::SpmmArgs;
use super::bound::ABREAST_GROUPS;
use super::group::{emit_dot_products, emit_interleave, emit_weights};
use super::narrow::row_scale;
use super::pack_indices::PackIndices;
use super::pass::{Pass, X};
use super::plan::{GROUP_WEIGHT_BYTES, IndexWidth, ROW_BLOCK, STORED_GROUPS, SpmmPlan};
use super::regs::Regs;
use super::row_block::RowBlock;
use crate::args::load_args;
use crate::{LANES, VECTORS};

/// Bytes from one [`RowBlock`] to the next.
const ROW_BYTES: i32 = size_of::<RowBlock>() as i32;

/// Row blocks that run abreast on `vectors` vectors of columns.
pub(super) fn row_blocks(vectors: usize) -> usize {
    VECTORS / vectors
}

/// Jumps to `alone` unless the next row blocks can run abreast. Else `list` becomes the bytes of indices of each of their lists, and `groups`
/// the groups of the longest.
pub(super) fn emit_begin(a: &mut Asm, plan: &SpmmPlan, r: &Regs, pass: &Pass, alone: DynamicLabel) {
    let (count, multiple) = (row_blocks(pass.vectors) as i32, STORED_GROUPS as i32);
    a.note(format!("{count} row blocks abreast, if their lists have one stored length"));
    dynasm!(a
        ; .arch x64
        ; cmp Rq(r.count), count
        ; jb =>alone
        ; mov Rd(r.list), [Rq(r.row)]
        ; mov Rd(r.groups), [Rq(r.row) + (count - 1) * ROW_BYTES]
        ; add Rd(r.list), multiple - 1
        ; lea Rd(r.skipped), [Rq(r.groups) + multiple - 1]
        ; and Rd(r.list), -multiple
        ; and Rd(r.skipped), -multiple
        ; cmp Rd(r.list), Rd(r.skipped)
        ; jne =>alone
        ; imul Rd(r.list), Rd(r.list), plan.group_index_bytes() as i32
        ; lea Rq(r.three_lists), [Rq(r.list) + 2 * Rq(r.list)]
    );
}

/// All groups of the row blocks, one of each at a time. Then both streams are behind their lists.
pub(super) fn emit_lists(a: &mut Asm, plan: &SpmmPlan, r: &Regs, pass: &Pass, acc: &[Vec<Vec<Zmm>>]) {
    let (again, end) = (a.new_dynamic_label(), a.new_dynamic_label());
    let count = row_blocks(pass.vectors) as i32;
    let (index_bytes, weight_bytes) = (plan.group_index_bytes() as i32, GROUP_WEIGHT_BYTES as i32);
    if pass.x == X::NarrowRows {
        emit_load_tables(a, plan, r);
    }
    dynasm!(a ; .arch x64 ; test Rd(r.groups), Rd(r.groups) ; jz =>end);
    if plan.schedule.prefetch {
        dynasm!(a ; .arch x64 ; imul Rd(r.ahead), Rd(r.list), count); // from a list to that of the row blocks after these
    }
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; =>again);
    a.begin_loop(ABREAST_GROUPS, count as usize * ROW_BLOCK, pass.vectors * LANES, 1);
    match pass.x {
        X::NarrowRows => emit_packed_rows(a, plan, r, acc),
        _ => emit_tile_rows(a, plan, r, pass, acc),
    }
    if plan.schedule.prefetch {
        emit_prefetch_lists(a, plan, r, count);
    }
    dynasm!(a
        ; .arch x64
        ; add Rq(r.indices), index_bytes
        ; add Rq(r.weights), weight_bytes
        ; dec Rd(r.groups)
        ; jnz =>again
    );
    a.end_loop();
    if plan.schedule.prefetch {
        load_args!(a, r, SpmmArgs { constants });
    }
    dynasm!(a
        ; .arch x64
        ; =>end
        ; mov Rd(r.groups), [Rq(r.row) + (count - 1) * ROW_BYTES]
        ; imul Rd(r.skipped), Rd(r.groups), index_bytes
        ; sub Rq(r.indices), Rq(r.skipped) //                  back to the first list,
        ; imul Rd(r.skipped), Rd(r.groups), weight_bytes
        ; sub Rq(r.weights), Rq(r.skipped)
        ; imul Rd(r.skipped), Rd(r.list), count //             and over all of them
        ; add Rq(r.indices), Rq(r.skipped)
        ; imul Rd(r.skipped), Rd(r.skipped), weight_bytes / index_bytes
        ; add Rq(r.weights), Rq(r.skipped)
    );
}

/// Prefetches what `count` groups have of the lists of the next `count` row blocks. These lists lie one behind the other, but the streams
/// that the loop reads are many and short, too short for the prefetcher of the CPU.
fn emit_prefetch_lists(a: &mut Asm, plan: &SpmmPlan, r: &Regs, count: i32) {
    dynasm!(a ; .arch x64 ; prefetcht0 [Rq(r.indices) + Rq(r.ahead)]);
    match plan.index {
        IndexWidth::U16 => dynasm!(a ; .arch x64 ; prefetcht0 [Rq(r.weights) + 2 * Rq(r.ahead)]),
        IndexWidth::U32 => dynasm!(a ; .arch x64 ; prefetcht0 [Rq(r.weights) + Rq(r.ahead)]),
    }
    dynasm!(a ; .arch x64 ; add Rq(r.ahead), (count - 1) * plan.group_index_bytes() as i32); // the lists advance by one group
}

/// `acc[b][m][v] += sum_i W[m][k_i of b] X[k_i of b][16v..16v+16]` for the next group of each row block b.
fn emit_tile_rows(a: &mut Asm, plan: &SpmmPlan, r: &Regs, pass: &Pass, acc: &[Vec<Vec<Zmm>>]) {
    for (b, acc) in acc.iter().enumerate() {
        a.note(format!("one group of row block {b}"));
        let (row, weight) = (&r.temp[0..4], &r.temp[12..16]);
        for (i, &row) in row.iter().enumerate() {
            let at = emit_load_index(a, plan, r, b, i);
            a.vmovdqu32(row, ptr(r.pass_x).index(at, Scale::X8)); // X[k_i]
        }
        let dword = emit_interleave(a, r, pass);
        emit_weights(a, plan.schedule.abreast.weights(), list_weights(plan, r, b), weight);
        emit_dot_products(a, acc, dword, weight);
    }
}

/// `acc[b][m][0] += sum_i W[m][k_i of b] X[k_i of b][0..16]` for the next group of each row block b, from packed rows.
fn emit_packed_rows(a: &mut Asm, plan: &SpmmPlan, r: &Regs, acc: &[Vec<Vec<Zmm>>]) {
    let (rows, x, weight) = (&r.temp[0..2], r.temp[2], &r.temp[8..12]);
    for (b, acc) in acc.iter().enumerate() {
        a.note(format!("one group of row block {b}"));
        for i in 0..4 {
            let at = emit_load_index(a, plan, r, b, i);
            let (pair, source) = (rows[i / 2], ptr(r.pass_x).index(at, row_scale(1)));
            match i % 2 {
                0 => a.vmovdqu32_x(pair, source),           //           X[k_0]; X[k_2]
                _ => a.vinserti32x4(pair, pair, source, 1), // X[k_0] X[k_1]; X[k_2] X[k_3]
            }
        }
        match interleaving(plan, r) {
            Interleaving::Bytes(bytes) => {
                a.vmovdqa32(x, bytes);
                a.vpermi2b(x, rows[0], rows[1]); //            k_0..k_3 of every column
            }
            Interleaving::Dwords(dwords, transpose) => {
                a.vpermt2d(rows[0], dwords, rows[1]); //       four columns of each feature in a lane
                a.vpshufb(x, rows[0], transpose); //           k_0..k_3 of every column
            }
        }
        emit_weights(a, plan.schedule.abreast.weights(), list_weights(plan, r, b), weight);
        emit_dot_products(a, acc, &[x], weight);
    }
}

/// The tables of [`PackIndices`] that interleave packed rows, in registers.
enum Interleaving {
    /// With VBMI, in one step.
    Bytes(Zmm),
    /// Dwords, then the bytes of each lane.
    Dwords(Zmm, Zmm),
}

fn interleaving(plan: &SpmmPlan, r: &Regs) -> Interleaving {
    match plan.has_byte_permutation() {
        true => Interleaving::Bytes(r.temp[4]),
        false => Interleaving::Dwords(r.temp[4], r.temp[5]),
    }
}

/// Loads the tables that [`emit_packed_rows`] needs, by way of the register `skipped`.
fn emit_load_tables(a: &mut Asm, plan: &SpmmPlan, r: &Regs) {
    load_args!(a, r, SpmmArgs { pack_indices: skipped });
    let table = |field: usize| ptr(r.skipped) + field as i32;
    match interleaving(plan, r) {
        Interleaving::Bytes(bytes) => a.vmovdqu32(bytes, table(offset_of!(PackIndices, bytes))),
        Interleaving::Dwords(dwords, transpose) => {
            a.vmovdqu32(dwords, table(offset_of!(PackIndices, dwords)));
            a.vmovdqu32(transpose, table(offset_of!(PackIndices, transpose)));
        }
    }
}

/// Index i of the next group of list `list`, for i in ascending order. Returns the register that has it.
fn emit_load_index(a: &mut Asm, plan: &SpmmPlan, r: &Regs, list: usize, i: usize) -> Gpr {
    let [all, one] = r.index;
    if plan.index == IndexWidth::U32 {
        emit_load_indices(a, plan, r, list, 4 * i as i32, one);
        return one;
    }
    match i {
        0 => {
            emit_load_indices(a, plan, r, list, 0, all);
            dynasm!(a ; .arch x64 ; movzx Rd(one), Rw(all));
        }
        1 => dynasm!(a ; .arch x64 ; mov Rd(one), Rd(all) ; shr Rd(one), 16),
        2 => dynasm!(a ; .arch x64 ; shr Rq(all), 32 ; movzx Rd(one), Rw(all)),
        _ => {
            dynasm!(a ; .arch x64 ; shr Rd(all), 16);
            return all;
        }
    }
    one
}

/// `to` = the u32 at `field` of the next group's indices of list `list`, or its four u16.
fn emit_load_indices(a: &mut Asm, plan: &SpmmPlan, r: &Regs, list: usize, field: i32, to: Gpr) {
    let (first, one, three) = (r.indices, r.list, r.three_lists);
    match (plan.index, list) {
        (IndexWidth::U16, 0) => dynasm!(a ; .arch x64 ; mov Rq(to), [Rq(first)]),
        (IndexWidth::U16, 1) => dynasm!(a ; .arch x64 ; mov Rq(to), [Rq(first) + Rq(one)]),
        (IndexWidth::U16, 2) => dynasm!(a ; .arch x64 ; mov Rq(to), [Rq(first) + 2 * Rq(one)]),
        (IndexWidth::U16, _) => dynasm!(a ; .arch x64 ; mov Rq(to), [Rq(first) + Rq(three)]),
        (IndexWidth::U32, 0) => dynasm!(a ; .arch x64 ; mov Rd(to), [Rq(first) + field]),
        (IndexWidth::U32, 1) => dynasm!(a ; .arch x64 ; mov Rd(to), [Rq(first) + Rq(one) + field]),
        (IndexWidth::U32, 2) => dynasm!(a ; .arch x64 ; mov Rd(to), [Rq(first) + 2 * Rq(one) + field]),
        (IndexWidth::U32, _) => dynasm!(a ; .arch x64 ; mov Rd(to), [Rq(first) + Rq(three) + field]),
    }
}

/// Where the weights of the next group of list `list` are. A list has once or twice as many bytes of weights as of indices.
fn list_weights(plan: &SpmmPlan, r: &Regs, list: usize) -> Mem {
    let (once, twice) = match plan.index {
        IndexWidth::U16 => (Scale::X2, Scale::X4),
        IndexWidth::U32 => (Scale::X1, Scale::X2),
    };
    match list {
        0 => ptr(r.weights),
        1 => ptr(r.weights).index(r.list, once),
        2 => ptr(r.weights).index(r.list, twice),
        _ => ptr(r.weights).index(r.three_lists, once),
    }
}
