//! One group as instructions.

use lacuna_jit::{Asm, Mem, Scale, Vex, Ymm256, Zmm};

use super::super::group::{emit_load_rows, weights};
use super::super::plan::SpmmPlan;
use super::pass::Pass;
use super::regs::Avx2Regs;
use crate::Block;
use crate::dot_avx2::{VECTORS, emit_twos};

/// `acc[m][v] += sum_i W[m][k_i] X[k_i][v]` for the input features k_i of the group `ahead` of the next.
pub(super) fn emit_group(
    a: &mut Asm<Ymm256>,
    plan: &SpmmPlan,
    r: &Avx2Regs,
    pass: &Pass,
    acc: &[Vec<Zmm>],
    ahead: i32,
) {
    let (x, temps) = r.temp.split_at(VECTORS);
    let x = &x[..pass.vectors];
    let acc: Vec<&[Zmm]> = acc.iter().map(|acc| &acc[..pass.vectors]).collect();
    let source = weights(plan, r, ahead);
    match plan.cover() {
        Block::B1x4 => {
            a.note("four blocks of one output each: dwords of 4 input features, times 4 weights");
            r.dots.emit_begin_each(a, source, r.constants, temps);
            emit_load_rows(a, plan, r, Scale::X8, ahead, |a, m, row| {
                emit_load_dwords(a, pass, x, row);
                r.dots.emit_one(a, acc[m], m, x, source, r.constants, temps);
            });
        }
        Block::B4x4 => {
            a.note("one block: dwords of 4 input features, times 4 weights of every output");
            emit_load_rows(a, plan, r, Scale::X8, ahead, |a, _, row| emit_load_dwords(a, pass, x, row));
            r.dots.emit(a, &acc, x, source, r.constants, temps);
        }
        _ => {
            a.note("one group: 4 rows of X, interleaved to dwords, times 4 weights of every output");
            emit_gather(a, plan, r, pass, x, temps, ahead);
            r.dots.emit(a, &acc, x, source, r.constants, temps);
        }
    }
}

/// The same of the next two groups.
pub(super) fn emit_two_groups(a: &mut Asm<Ymm256>, plan: &SpmmPlan, r: &Avx2Regs, pass: &Pass, acc: &[Vec<Zmm>]) {
    let (x, temps) = r.temp.split_at(2 * VECTORS);
    let (first, second) = x.split_at(VECTORS);
    let x = [&first[..pass.vectors], &second[..pass.vectors]];
    let acc: Vec<&[Zmm]> = acc.iter().map(|acc| &acc[..pass.vectors]).collect();
    a.note("two groups: 4 rows of X each, interleaved to dwords, times 4 weights of every output");
    for (ahead, x) in (0..).zip(x) {
        emit_gather(a, plan, r, pass, x, temps, ahead);
    }
    emit_twos(a, &acc, x, [weights(plan, r, 0), weights(plan, r, 1)], r.constants, temps);
}

/// `x[v]`: the four rows of X that a group names, as dwords of four features per column. Destroys two of `temps`.
fn emit_gather(a: &mut Asm<Ymm256>, plan: &SpmmPlan, r: &Avx2Regs, pass: &Pass, x: &[Zmm], temps: &[Zmm], ahead: i32) {
    let bytes = [temps[0], temps[1]];
    emit_load_rows(a, plan, r, Scale::X8, ahead, |a, i, row| {
        let (to, row) = (bytes[i / 2], row + pass.plain_row()); // k_0 k_1 are interleaved, and k_2 k_3
        match (i % 2, pass.pair) {
            (0, _) => a.vmovdqu(to, row),
            (_, 0) => a.vpunpcklbw(to, to, row), //              columns of the vectors 0 and 1 of 16
            (..) => a.vpunpckhbw(to, to, row),   //                of 2 and 3
        }
    });
    a.vpunpcklwd(x[0], bytes[0], bytes[1]);
    if let Some(&second) = x.get(1) {
        a.vpunpckhwd(second, bytes[0], bytes[1]);
    }
}

/// `x[v] = X[k..k+4][v]`, whose row of a VNNI panel is at `row`.
fn emit_load_dwords(a: &mut Asm<Ymm256>, pass: &Pass, x: &[Zmm], row: Mem) {
    for (v, &x) in x.iter().enumerate() {
        a.vmovdqu(x, row + pass.vnni_row(v));
    }
}
