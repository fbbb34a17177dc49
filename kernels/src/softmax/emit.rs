//! The softmax kernel as instructions. One call computes one tile, in three passes over its rows.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, dynasm};
use lacuna_jit::{Asm, Code, Evex, JitError};

use super::args::{Constants, SoftmaxArgs};
use super::plan::{CHAINS, SoftmaxPlan};
use super::regs::{Columns, Regs};
use crate::args::load_args;
use crate::math::EXP_R;
use crate::rows::{F32_ROW_BYTES, GROUP, RowVerbs, emit_row_groups, emit_row_groups_back, emit_zero};
use crate::{Generate, Plan};

impl Generate for SoftmaxPlan {
    fn generate(&self) -> Result<Code, JitError> {
        emit(self)
    }
}

/// Generates the kernel.
fn emit(plan: &SoftmaxPlan) -> Result<Code, JitError> {
    let r = Regs::new()?;
    let mut a = Asm::new();
    a.begin_function(&r.file);
    load_args!(a, r, SoftmaxArgs { constants, columns });
    a.vmovups(r.powers, r.constant(offset_of!(Constants, powers)));
    for (k, &coefficient) in r.r.iter().enumerate() {
        a.vbroadcastss(coefficient, r.constant(offset_of!(Constants, r) + 4 * k));
    }
    a.vbroadcastss(r.log2_e, r.constant(offset_of!(Constants, log2_e)));
    a.vbroadcastss(r.magic, r.constant(offset_of!(Constants, magic)));
    a.vbroadcastss(r.min, r.constant(offset_of!(Constants, min)));
    a.emit_by_vectors(r.columns, |a, vectors| {
        let columns = r.columns(vectors);
        emit_max(a, plan, &r, &columns);
        emit_exponentials(a, plan, &r, &columns);
        emit_scale(a, plan, &r, &columns);
    });
    a.end_function(&r.file);
    a.finish(plan.name(), &r.file)
}

/// `max = max_f x[f]`, from the first row to the last.
fn emit_max(a: &mut Asm, plan: &SoftmaxPlan, r: &Regs, columns: &Columns<'_>) {
    a.note("maximum");
    for &max in columns.maxima.into_iter().flatten() {
        a.vbroadcastss(max, r.constant(offset_of!(Constants, minus_infinity)));
    }
    load_args!(a, r, SoftmaxArgs { x: row });
    emit_row_groups(a, plan.features, r.count, |a, rows| {
        for row in 0..rows {
            for (v, &max) in columns.maxima[row % CHAINS].iter().enumerate() {
                a.vmaxps(max, max, r.element(row, v)); //           max[f mod 2] = max(max[f mod 2], x[f])
            }
        }
        dynasm!(a ; .arch x64 ; add Rq(r.row), rows as i32 * F32_ROW_BYTES);
    });
    for ((&max, &even), &odd) in columns.max.iter().zip(columns.maxima[0]).zip(columns.maxima[1]) {
        a.vmaxps(max, even, odd);
    }
}

/// `x[f] = e[f] = e^(x[f] - max)` and `scale = 1 / sum_f e[f]`, from the last row, where the first pass ended, to the first.
fn emit_exponentials(a: &mut Asm, plan: &SoftmaxPlan, r: &Regs, columns: &Columns<'_>) {
    a.note("exponentials and their sum");
    emit_zero(a, columns.sums.into_iter().flatten());
    emit_row_groups_back(a, plan.features, r.count, |a, rows| {
        dynasm!(a ; .arch x64 ; sub Rq(r.row), rows as i32 * F32_ROW_BYTES);
        for four in columns.fours(rows) {
            emit_exp(a, r, columns, &four);
        }
    });
    a.vbroadcastss(r.one, r.constant(offset_of!(Constants, one)));
    for ((&scale, &even), &odd) in columns.scale.iter().zip(columns.sums[0]).zip(columns.sums[1]) {
        a.vaddps(even, even, odd);
        a.vdivps(scale, r.one, even); //                              1 / sum
    }
}

/// `x[f] = e[f]` and `sum[f mod 2] += e[f]` of the vectors (row, v), as [`crate::math::exp`] step by step.
fn emit_exp(a: &mut Asm, r: &Regs, columns: &Columns<'_>, vectors: &[(usize, usize)]) {
    let n = vectors.len();
    let (x, power, e) = (&r.x[..n], &r.power[..n], &r.e[..n]);
    for (&x, &(row, v)) in x.iter().zip(vectors) {
        a.vmovups(x, r.element(row, v));
        a.vsubps(x, x, columns.max[v]); //                       x - max
    }
    for &x in x {
        a.vmaxps(x, r.min, x); //                                   NaN stays: it is the second operand
    }
    for (&power, &x) in power.iter().zip(x) {
        a.vmovups(power, x);
        a.vfmadd213ps(power, r.log2_e, r.magic); //                 n in the lowest bits
    }
    for (&e, &power) in e.iter().zip(power) {
        a.vsubps(e, power, r.magic); //                             n/16
    }
    for ((&power, &x), &e) in power.iter().zip(x).zip(e) {
        a.vpermd(power, power, r.powers);
        a.vscalefps(power, power, e); //                            2^(n/16)
        a.vfnmadd213ps(x, r.log2_e, e); //                          r = n/16 - (x - max) log2(e)
    }
    let (highest, lower) = (r.r[EXP_R.len() - 1], &r.r[..EXP_R.len() - 1]);
    for &e in e {
        a.vmovups(e, highest);
    }
    for &coefficient in lower.iter().rev() {
        for (&e, &x) in e.iter().zip(x) {
            a.vfmadd213ps(e, x, coefficient); //                    2^-r
        }
    }
    for ((&e, &power), &(row, v)) in e.iter().zip(power).zip(vectors) {
        let sum = columns.sums[row % CHAINS][v];
        a.vmulps(e, e, power);
        a.vmovups_st(r.element(row, v), e);
        a.vaddps(sum, sum, e); //                                   sum[f mod 2] += e[f]
    }
}

/// `x[f] = e[f] / sum`, from the first row to the last.
fn emit_scale(a: &mut Asm, plan: &SoftmaxPlan, r: &Regs, columns: &Columns<'_>) {
    a.note("scale by 1 / sum");
    emit_row_groups(a, plan.features, r.count, |a, rows| {
        for four in columns.fours(rows) {
            for (&y, &(row, v)) in r.y.iter().zip(&four) {
                a.vmulps(y, columns.scale[v], r.element(row, v));
                a.vmovups_st(r.element(row, v), y);
            }
        }
        dynasm!(a ; .arch x64 ; add Rq(r.row), rows as i32 * F32_ROW_BYTES);
    });
}

const _: () = assert!(GROUP.is_multiple_of(CHAINS)); // a group starts with an even feature
