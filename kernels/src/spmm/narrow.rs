//! Parts of X copied to where they are dense. Tails of up to 32 columns: rows of X packed densely, and vectors that hold the columns of several groups.
//!
//! A row of a plain panel has 64 bytes however few columns it holds, so a tail would load (and keep in L1) two or four times what
//! it needs, and interleave half-empty vectors. Instead the tail's rows are first copied to rows of 32 (16) bytes, and one
//! vector takes the same row position of two (four) groups: its upper half belongs to the next group. The sums of the groups
//! meet at the end of a row block.
//!
//! **Packed row**: byte `16 j + 4 q + c` is column `8 q + 4 j + c` (j in 0..2, q and c in 0..4); with 16 columns byte `4 q + c` is
//! column `4 q + c`. Interleaved, `acc[m][q]` then holds columns `8 q..8 q + 8` of two groups or `4 q..4 q + 4` of four, and
//! combining them gives vectors in natural order.

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Evex, Mem, Scale, Zmm, ptr};

use super::args::SpmmArgs;
use super::bound::PACKED_GROUPS;
use super::group::{
    emit_begin_list, emit_dot_products, emit_end_list, emit_load_each_row, emit_spread_weights, weights,
};
use super::pass::Pass;
use super::plan::{ROW_BLOCK, SpmmPlan};
use super::regs::Regs;
use crate::args::load_args;
use crate::layout::{VECTOR_BYTES, padded};
use crate::{LANES, TILE, VECTORS};

/// Groups that share a vector.
pub(super) fn groups(vectors: usize) -> usize {
    VECTORS / vectors
}

/// Bytes from one packed row to the next, over the 8 that an index counts.
pub(super) fn row_scale(vectors: usize) -> Scale {
    if vectors == 1 { Scale::X2 } else { Scale::X4 }
}

/// Copies the first `vectors` vectors of every row of the tile to packed rows at `packed`, which is destroyed.
pub(super) fn emit_pack_rows(a: &mut Asm, plan: &SpmmPlan, r: &Regs, vectors: usize) {
    const AT_ONCE: usize = 4; // K is stored as a multiple of 4
    let row_bytes = vectors * LANES;
    let (rows, indices) = (&r.temp[..AT_ONCE / 2], r.temp[AT_ONCE / 2]);
    let again = a.new_dynamic_label();
    a.note(format!("pack rows of {row_bytes} columns"));
    load_args!(a, r, SpmmArgs { pack_indices: from });
    a.vmovdqu32(indices, ptr(r.from) + ((vectors - 1) * size_of::<[i32; 16]>()) as i32);
    dynasm!(a
        ; .arch x64
        ; mov Rq(r.from), Rq(r.x)
        ; mov Rd(r.packs_left), (padded(plan.k) / AT_ONCE) as i32
    );
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; =>again);
    for (pair, &row) in rows.iter().enumerate() {
        let source = ptr(r.from) + (2 * pair * TILE) as i32;
        a.vmovdqu32(row, source);
        a.vpermt2d(row, indices, source + TILE as i32);
        let to = ptr(r.packed) + (2 * pair * row_bytes) as i32;
        match vectors {
            1 => a.vmovdqu32_y_st(to, row),
            _ => a.vmovdqu32_st(to, row),
        }
    }
    dynasm!(a
        ; .arch x64
        ; add Rq(r.from), (AT_ONCE * TILE) as i32
        ; add Rq(r.packed), (AT_ONCE * row_bytes) as i32
        ; dec Rd(r.packs_left)
        ; jnz =>again
    );
}

/// Copies the dwords of the pass's one or two vectors of every row of a VNNI tile to rows of their own at `packed`,
/// which is destroyed.
pub(super) fn emit_pack_dwords(a: &mut Asm, plan: &SpmmPlan, r: &Regs, pass: &Pass) {
    let again = a.new_dynamic_label();
    a.note("copy the dwords of the pass to rows without gaps");
    dynasm!(a
        ; .arch x64
        ; mov Rq(r.from), Rq(r.x)
        ; mov Rd(r.packs_left), (padded(plan.k) / 4) as i32
    );
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; =>again);
    for (v, &dwords) in (0..).zip(&r.temp[..pass.vectors]) {
        a.vmovdqu32(dwords, ptr(r.from) + (pass.first as i32 + v) * VECTOR_BYTES);
        a.vmovdqu32_st(ptr(r.packed) + v * VECTOR_BYTES, dwords);
    }
    dynasm!(a
        ; .arch x64
        ; add Rq(r.from), VECTORS as i32 * VECTOR_BYTES
        ; add Rq(r.packed), pass.vectors as i32 * VECTOR_BYTES
        ; dec Rd(r.packs_left)
        ; jnz =>again
    );
}

/// All groups of a list on packed rows, two or four at a time.
pub(super) fn emit_list(a: &mut Asm, plan: &SpmmPlan, r: &Regs, acc: &[Vec<Zmm>], vectors: usize) {
    let (again, end) = (a.new_dynamic_label(), a.new_dynamic_label());
    let at_once = groups(vectors) as i32;
    emit_begin_list(a, plan, r, at_once);
    dynasm!(a ; .arch x64 ; jz =>end);
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; =>again);
    a.begin_loop(PACKED_GROUPS, ROW_BLOCK, vectors * LANES, groups(vectors));
    emit_groups(a, plan, r, acc, vectors);
    dynasm!(a
        ; .arch x64
        ; add Rq(r.group), at_once * plan.group_index_bytes() as i32
        ; jnz =>again
    );
    a.end_loop();
    dynasm!(a ; .arch x64 ; =>end);
    emit_end_list(a, plan, r, at_once);
}

/// `acc[m][q]`, part g `+= sum_i W[m][k_i of g] X[k_i of g][columns of q]` for the groups g of a vector.
fn emit_groups(a: &mut Asm, plan: &SpmmPlan, r: &Regs, acc: &[Vec<Zmm>], vectors: usize) {
    let (row, weight) = (&r.temp[0..4], &r.temp[12..16]);
    a.note(format!("{} groups: their rows of X side by side, interleaved to dwords", groups(vectors)));
    for group in 0..groups(vectors) {
        emit_load_each_row(a, plan, r, group as i32, row_scale(vectors), |a, i, source| {
            emit_load_part(a, vectors, group, row[i], source); // row[i], part g = X[k_i of g]
        });
    }
    let dword = emit_interleave_packed(a, r);

    a.vmovdqu32(weight[0], weights(plan, r, 0)); //            W[0..4][k_0..k_3] of four groups, one per 128-bit lane
    if vectors == 2 {
        a.vshufi32x4(weight[0], weight[0], weight[0], 0b0101_0000); // of groups 0, 0, 1, 1
    }
    emit_spread_weights(a, weight);
    emit_dot_products(a, acc, dword, weight);
}

/// The packed rows in `temp[0..4]` as dwords of four features: returns `dword[q]`.
pub(super) fn emit_interleave_packed<'r>(a: &mut Asm, r: &'r Regs) -> &'r [Zmm] {
    let (row, bytes, dword) = (&r.temp[0..4], &r.temp[4..8], &r.temp[8..12]);
    a.vpunpcklbw(bytes[0], row[0], row[1]);
    a.vpunpcklbw(bytes[1], row[2], row[3]);
    a.vpunpckhbw(bytes[2], row[0], row[1]);
    a.vpunpckhbw(bytes[3], row[2], row[3]);
    a.vpunpcklwd(dword[0], bytes[0], bytes[1]); //             k_0..k_3 of the columns of q = 0
    a.vpunpckhwd(dword[1], bytes[0], bytes[1]);
    a.vpunpcklwd(dword[2], bytes[2], bytes[3]);
    a.vpunpckhwd(dword[3], bytes[2], bytes[3]);
    dword
}

/// Part `group` of a row of groups.
fn emit_load_part(a: &mut Asm, vectors: usize, group: usize, row: Zmm, source: Mem) {
    match (vectors, group) {
        (1, 0) => a.vmovdqu32_x(row, source),
        (1, _) => a.vinserti32x4(row, row, source, group as u8),
        (_, 0) => a.vmovdqu32_y(row, source),
        _ => a.vinserti64x4(row, row, source, group as u8),
    }
}

/// Sums the parts of `acc[m][q]`; returns `acc[m][v]`, columns 16v..16v+16 in natural order.
pub(super) fn emit_combine(a: &mut Asm, r: &Regs, acc: &[Vec<Zmm>], vectors: usize) -> Vec<Vec<Zmm>> {
    /// 128-bit lanes of two vectors: the lower two of each, the upper two, the even ones, the odd ones.
    const LOWER: u8 = 0b0100_0100;
    const UPPER: u8 = 0b1110_1110;
    const EVEN: u8 = 0b1000_1000;
    const ODD: u8 = 0b1101_1101;
    let t = r.temp[0];
    let add = |a: &mut Asm, first: Zmm, second: Zmm, one: u8, other: u8| {
        a.vshufi32x4(t, first, second, one);
        a.vshufi32x4(first, first, second, other);
        a.vpaddd(first, first, t);
    };
    a.note("sum the groups that shared a vector");
    for q in acc {
        add(a, q[0], q[1], LOWER, UPPER);
        add(a, q[2], q[3], LOWER, UPPER);
        if vectors == 1 {
            add(a, q[0], q[2], EVEN, ODD);
        }
    }
    acc.iter().map(|q| if vectors == 1 { vec![q[0]] } else { vec![q[0], q[2]] }).collect()
}
