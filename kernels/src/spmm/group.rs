//! One list of the stream as instructions: the loop over its groups, and one group.

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Evex, Gpr, Mem, Scale, Zmm, ptr};

use super::pass::{Pass, X, weight_scale};
use super::plan::{GROUP_WEIGHT_BYTES, IndexWidth, ROW_BLOCK, SpmmPlan};
use super::regs::Regs;
use super::schedule::WeightLoads;
use crate::{Block, LANES, VECTORS};

/// The groups of one list on `columns` columns, `unroll` at a time, in a loop of this name; `group(a, i)` emits the i-th of an iteration.
///
/// With two groups per iteration and an odd number of groups, the first iteration starts at its second half. So no second loop is needed.
pub(super) fn emit_list<W>(
    a: &mut Asm<W>,
    plan: &SpmmPlan,
    r: &Regs,
    name: &'static str,
    columns: usize,
    group: impl Fn(&mut Asm<W>, i32),
) {
    let (again, second, end) = (a.new_dynamic_label(), a.new_dynamic_label(), a.new_dynamic_label());
    let step = plan.group_index_bytes() as i32;
    let unroll = plan.schedule.unroll as i32;
    emit_begin_list(a, plan, r, 1);
    dynasm!(a ; .arch x64 ; jz =>end);
    emit_first_indices(a, plan, r);
    if unroll == 2 {
        dynasm!(a
            ; .arch x64
            ; test BYTE [Rq(r.row)], 1
            ; jz =>again
            ; sub Rq(r.group), step
            ; jmp =>second
        );
    }
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; =>again);
    a.begin_loop(name, ROW_BLOCK, columns, plan.schedule.unroll);
    group(a, 0);
    if unroll == 2 {
        dynasm!(a ; .arch x64 ; =>second);
        group(a, 1);
    }
    dynasm!(a
        ; .arch x64
        ; add Rq(r.group), unroll * step
        ; jnz =>again
    );
    a.end_loop();
    dynasm!(a ; .arch x64 ; =>end);
    emit_end_list(a, plan, r, 1);
}

/// All groups of a list, two at a time; behind an odd number of them is one of zero weights.
pub(super) fn emit_list_in_twos<W>(
    a: &mut Asm<W>,
    plan: &SpmmPlan,
    r: &Regs,
    name: &'static str,
    columns: usize,
    two: impl Fn(&mut Asm<W>),
) {
    let (again, end) = (a.new_dynamic_label(), a.new_dynamic_label());
    emit_begin_list(a, plan, r, 2);
    dynasm!(a ; .arch x64 ; jz =>end);
    emit_first_indices(a, plan, r);
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; =>again);
    a.begin_loop(name, ROW_BLOCK, columns, 2);
    two(a);
    dynasm!(a
        ; .arch x64
        ; add Rq(r.group), 2 * plan.group_index_bytes() as i32
        ; jnz =>again
    );
    a.end_loop();
    dynasm!(a ; .arch x64 ; =>end);
    emit_end_list(a, plan, r, 2);
}

/// Points `indices` and `weights` at the end of the list's groups, of which there are a multiple of `multiple`, and `group` at
/// the first. Sets the zero flag if the list is empty.
pub(super) fn emit_begin_list<W>(a: &mut Asm<W>, plan: &SpmmPlan, r: &Regs, multiple: i32) {
    dynasm!(a ; .arch x64 ; mov Rd(r.groups), [Rq(r.row)]);
    if multiple > 1 {
        dynasm!(a ; .arch x64 ; add Rd(r.groups), multiple - 1 ; and Rd(r.groups), -multiple);
    }
    emit_skip_groups(a, plan, r);
    dynasm!(a
        ; .arch x64
        ; imul Rq(r.group), Rq(r.groups), -(plan.group_index_bytes() as i32)
        ; test Rq(r.group), Rq(r.group)
    );
}

/// Steps over the groups that are stored and not computed.
pub(super) fn emit_end_list<W>(a: &mut Asm<W>, plan: &SpmmPlan, r: &Regs, multiple: i32) {
    let stored = plan.stored_multiple() as i32;
    if stored > multiple {
        dynasm!(a ; .arch x64 ; mov Rd(r.groups), [Rq(r.row)]);
        if multiple > 1 {
            dynasm!(a ; .arch x64 ; add Rd(r.groups), multiple - 1 ; and Rd(r.groups), -multiple);
        }
        dynasm!(a ; .arch x64 ; neg Rd(r.groups) ; and Rd(r.groups), stored - 1);
        emit_skip_groups(a, plan, r);
    }
}

/// Advances both streams by `groups`.
fn emit_skip_groups<W>(a: &mut Asm<W>, plan: &SpmmPlan, r: &Regs) {
    dynasm!(a
        ; .arch x64
        ; imul Rd(r.skipped), Rd(r.groups), plan.group_index_bytes() as i32
        ; add Rq(r.indices), Rq(r.skipped)
        ; imul Rd(r.skipped), Rd(r.groups), GROUP_WEIGHT_BYTES as i32
        ; add Rq(r.weights), Rq(r.skipped)
    );
}

/// `acc[m][v] += sum_i W[m][k_i] X[k_i][16v..16v+16]` for the input features k_i of the group `ahead` of the next.
pub(super) fn emit_group(a: &mut Asm, plan: &SpmmPlan, r: &Regs, pass: &Pass, acc: &[Vec<Zmm>], ahead: i32) {
    match plan.cover() {
        Block::B1x4 => {
            a.note("four blocks of one output each: dwords of 4 input features, times 4 weights");
            let (dword, weight) = (&r.temp[0..VECTORS], &r.temp[4..8]);
            emit_load_weights(a, plan, r, ahead, weight);
            emit_load_rows(a, plan, r, pass.row_scale(), ahead, |a, m, source| {
                emit_load_dwords(a, pass, dword, source);
                emit_dot_products(a, &acc[m..=m], dword, &weight[m..=m]);
            });
        }
        Block::B4x4 => {
            a.note("one block: dwords of 4 input features, times 4 weights of every output");
            let (dword, weight) = (&r.temp[0..VECTORS], &r.temp[4..8]);
            emit_load_rows(a, plan, r, pass.row_scale(), ahead, |a, _, source| {
                emit_load_dwords(a, pass, dword, source)
            });
            emit_load_weights(a, plan, r, ahead, weight);
            emit_dot_products(a, acc, dword, weight);
        }
        _ => {
            a.note("one group: 4 rows of X, interleaved to dwords, times 4 weights of every output");
            let (dword, weight) = (emit_gather(a, plan, r, pass, ahead), &r.temp[12..16]);
            emit_load_weights(a, plan, r, ahead, weight);
            emit_dot_products(a, acc, dword, weight);
        }
    }
}

/// `acc[m][v] += X[v] . W[m]`.
pub(super) fn emit_dot_products(a: &mut Asm, acc: &[Vec<Zmm>], dword: &[Zmm], weight: &[Zmm]) {
    for (acc, &weight) in acc.iter().zip(weight) {
        for (&acc, &x) in acc.iter().zip(dword) {
            a.vpdpbusd(acc, x, weight);
        }
    }
}

/// Where the weights of the group `ahead` of the next are.
pub(super) fn weights(plan: &SpmmPlan, r: &Regs, ahead: i32) -> Mem {
    ptr(r.weights).index(r.group, weight_scale(plan)) + ahead * GROUP_WEIGHT_BYTES as i32
}

/// The four rows of X that a group names, as dwords of four features per column. Returns one register per vector of the pass.
pub(super) fn emit_gather<'r>(a: &mut Asm, plan: &SpmmPlan, r: &'r Regs, pass: &Pass, ahead: i32) -> &'r [Zmm] {
    emit_load_rows(a, plan, r, pass.row_scale(), ahead, |a, i, source| a.vmovdqu32(r.temp[i], source));
    emit_interleave(a, r, pass)
}

/// The rows of X in `temp[0..4]` as dwords of four features per column. Returns one register per vector of the pass.
pub(super) fn emit_interleave<'r>(a: &mut Asm, r: &'r Regs, pass: &Pass) -> &'r [Zmm] {
    let (row, bytes, dword) = (&r.temp[0..4], &r.temp[4..8], &r.temp[8..12]);
    let vectors = pass.first..pass.first + pass.vectors;
    for (v, &dword) in vectors.clone().zip(dword) {
        let halves = if v < 2 { &bytes[..2] } else { &bytes[2..] };
        let first_of_half = v == pass.first || v == 2;
        match (first_of_half, v < 2) {
            (true, true) => {
                a.vpunpcklbw(halves[0], row[0], row[1]); //    k_0 k_1 interleaved, columns of v = 0, 1
                a.vpunpcklbw(halves[1], row[2], row[3]); //    k_2 k_3
            }
            (true, false) => {
                a.vpunpckhbw(halves[0], row[0], row[1]); //    columns of v = 2, 3
                a.vpunpckhbw(halves[1], row[2], row[3]);
            }
            (false, _) => {}
        }
        match v % 2 {
            0 => a.vpunpcklwd(dword, halves[0], halves[1]), // k_0..k_3 of columns 16v..16v+16
            _ => a.vpunpckhwd(dword, halves[0], halves[1]),
        }
    }
    dword
}

/// `dword[v] = X[k..k+4][16v..16v+16]`, whose row of a VNNI panel is at `source`.
fn emit_load_dwords(a: &mut Asm, pass: &Pass, dword: &[Zmm], source: Mem) {
    let first = if pass.x == X::Dwords { 0 } else { pass.first };
    for (v, &dword) in (first..).zip(dword).take(pass.vectors) {
        a.vmovdqu32(dword, source + (v * 4 * LANES) as i32);
    }
}

/// Loads the indices of the list's first two groups. u16 indices are loaded two groups ahead.
///
/// A load waits in the scheduler until its address is known. With indices loaded in their own group the scheduler is full of
/// rows that wait, and the next indices come too late to keep two loads per cycle going: for the 16 rows of a 1x4 group that
/// costs a quarter of the time.
fn emit_first_indices<W>(a: &mut Asm<W>, plan: &SpmmPlan, r: &Regs) {
    if plan.index == IndexWidth::U16 {
        emit_load_indices(a, plan, r, r.index[0], 0);
        emit_load_indices(a, plan, r, r.later, 1);
    }
}

/// The u16 indices of the group `ahead` of the next.
fn emit_load_indices<W>(a: &mut Asm<W>, plan: &SpmmPlan, r: &Regs, to: Gpr, ahead: i32) {
    let first = ahead * plan.group_index_bytes() as i32;
    match plan.group_indices() {
        4 => dynasm!(a ; .arch x64 ; mov Rq(to), [Rq(r.indices) + Rq(r.group) + first]),
        _ => dynasm!(a ; .arch x64 ; movzx Rd(to), WORD [Rq(r.indices) + Rq(r.group) + first]),
    }
}

/// `load(a, i, address)` for every row of X that the group `ahead` of the next names; rows are `8 * scale` bytes apart.
pub(super) fn emit_load_rows<W>(
    a: &mut Asm<W>,
    plan: &SpmmPlan,
    r: &Regs,
    scale: Scale,
    ahead: i32,
    load: impl Fn(&mut Asm<W>, usize, Mem),
) {
    if plan.index == IndexWidth::U32 {
        return emit_load_each_row(a, plan, r, ahead, scale, load);
    }
    let [all, one] = r.index;
    let row = |at: Gpr| ptr(r.pass_x).index(at, scale);
    if plan.group_indices() == 4 {
        dynasm!(a ; .arch x64 ; movzx Rd(one), Rw(all));
        load(a, 0, row(one)); //                                X[k_0]
        dynasm!(a ; .arch x64 ; mov Rd(one), Rd(all) ; shr Rd(one), 16);
        load(a, 1, row(one));
        dynasm!(a ; .arch x64 ; shr Rq(all), 32 ; movzx Rd(one), Rw(all));
        load(a, 2, row(one));
        dynasm!(a ; .arch x64 ; shr Rd(all), 16);
        load(a, 3, row(all));
    } else {
        load(a, 0, row(all));
    }
    dynasm!(a ; .arch x64 ; mov Rq(all), Rq(r.later)); //       indices of the group after this
    emit_load_indices(a, plan, r, r.later, ahead + 2); //       at the end of the stream, its padding
}

/// [`emit_load_rows`] with a load for each index, just before its row.
pub(super) fn emit_load_each_row<W>(
    a: &mut Asm<W>,
    plan: &SpmmPlan,
    r: &Regs,
    ahead: i32,
    scale: Scale,
    load: impl Fn(&mut Asm<W>, usize, Mem),
) {
    for i in 0..plan.group_indices() {
        let at = r.index[i % 2];
        let field = ahead * plan.group_index_bytes() as i32 + (i * plan.index.bytes()) as i32;
        match plan.index {
            IndexWidth::U16 => dynasm!(a ; .arch x64 ; movzx Rd(at), WORD [Rq(r.indices) + Rq(r.group) + field]),
            IndexWidth::U32 => dynasm!(a ; .arch x64 ; mov Rd(at), DWORD [Rq(r.indices) + Rq(r.group) + field]),
        }
        load(a, i, ptr(r.pass_x).index(at, scale));
    }
}

/// `weight[m] = W[m]`, four weights in every lane. Where every dot product needs a load of X, loads are the limit: one load with four
/// shuffles is faster than four broadcasts.
pub(super) fn emit_load_weights(a: &mut Asm, plan: &SpmmPlan, r: &Regs, ahead: i32, weight: &[Zmm]) {
    let how = if plan.cover() == Block::B1x4 { WeightLoads::Shuffle } else { WeightLoads::Broadcast };
    emit_weights(a, how, weights(plan, r, ahead), weight);
}

/// `weight[m]` = the dword m of `source`, in every lane.
pub(super) fn emit_weights(a: &mut Asm, how: WeightLoads, source: Mem, weight: &[Zmm]) {
    match how {
        WeightLoads::Broadcast => {
            for (m, &weight) in (0..).zip(weight) {
                a.vpbroadcastd(weight, source + 4 * m);
            }
        }
        WeightLoads::Shuffle => {
            a.vbroadcasti32x4(weight[0], source); //           W[0..4] in every 128-bit lane
            emit_spread_weights(a, weight);
        }
    }
}

/// From `weight[0]` with the dwords of four outputs in every 128-bit lane to `weight[m]` with that of output m in all of it.
pub(super) fn emit_spread_weights(a: &mut Asm, weight: &[Zmm]) {
    let (all, others) = (weight[0], &weight[1..]);
    for (m, &weight) in (1..).zip(others) {
        a.vpshufd(weight, all, m * 0b0101_0101); //            dword m of every lane, four times
    }
    a.vpshufd(all, all, 0);
}
