//! The layernorm kernel as instructions. One call computes one tile.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, dynasm};
use lacuna_jit::{Asm, Code, Isa, JitError, Vector, Ymm256, Zmm, Zmm512, ptr};

use super::args::LayerNormArgs;
use super::params::NormParams;
use super::plan::{CHAINS, LayerNormPlan};
use super::regs::{Columns, Regs};
use crate::args::load_args;
use crate::rows::{
    F32_ROW_BYTES, GROUP, PanelRows, RowVerbs, element, emit_quantize, emit_row_groups, emit_store_panel, emit_zero,
};
use crate::{Generate, Plan};

impl Generate for LayerNormPlan {
    fn generate(&self) -> Result<Code, JitError> {
        match self.isa {
            Isa::Avx2(_) => emit::<Ymm256>(self),
            Isa::Avx512Vnni(_) | Isa::Portable => emit::<Zmm512>(self),
        }
    }
}

/// Generates the kernel.
fn emit<W>(plan: &LayerNormPlan) -> Result<Code, JitError>
where
    Asm<W>: RowVerbs,
{
    let (mut a, file) = Asm::<W>::begin();
    let r = Regs::new::<Asm<W>>(file)?;
    a.begin_function(&r.file);
    load_args!(a, r, LayerNormArgs { columns, constants });
    a.emit_by_vectors(r.columns, |a, vectors| {
        let columns = r.columns(vectors);
        emit_shift(a, plan, &r, &columns);
        emit_statistics(a, plan, &r, &columns);
        emit_normalize(a, plan, &r, &columns);
    });
    a.end_function(&r.file);
    a.finish(plan.name(), &r.file)
}

/// `shift = sum_(f < S) x[f] / S`, the mean of the first features. Those rows are in L1 when the statistics read them
/// again.
fn emit_shift<W>(a: &mut Asm<W>, plan: &LayerNormPlan, r: &Regs, columns: &Columns<'_>)
where
    Asm<W>: RowVerbs,
{
    a.remark("shift: mean of the first features");
    emit_zero(a, columns.sums.iter().flatten());
    load_args!(a, r, LayerNormArgs { x });
    emit_row_groups(a, plan.shift_features(), r.count, |a, rows| {
        for row in 0..rows {
            for (v, &sum) in columns.sums[row % CHAINS].iter().enumerate() {
                a.vaddps(sum, sum, element(r.x, row, v)); //            sum[f mod 2] += x[f]
            }
        }
        emit_next_x(a, r);
    });
    for (v, &shift) in columns.shift.iter().enumerate() {
        a.vaddps(shift, columns.sums[0][v], columns.sums[1][v]);
        a.vdivps_broadcast(shift, shift, r.arg(offset_of!(LayerNormArgs, shift_features)), r.scratch);
    }
}

/// With `d = shift - x[f]`: `mean = shift - sum_f d / F` and
/// `rstd = 1 / sqrt(sum_f d^2 / F - (sum_f d / F)^2 + epsilon)`.
fn emit_statistics<W>(a: &mut Asm<W>, plan: &LayerNormPlan, r: &Regs, columns: &Columns<'_>)
where
    Asm<W>: RowVerbs,
{
    a.remark("mean and variance about the shift");
    emit_zero(a, columns.sums.iter().flatten());
    emit_zero(a, columns.squares.iter().flatten());
    load_args!(a, r, LayerNormArgs { x });
    emit_row_groups(a, plan.features, r.count, |a, rows| {
        for row in 0..rows {
            let (sums, squares) = (&columns.sums[row % CHAINS], &columns.squares[row % CHAINS]);
            for (v, &shift) in columns.shift.iter().enumerate() {
                let d = r.d[v];
                a.vsubps(d, shift, element(r.x, row, v)); //            d = shift - x[f]
                a.vaddps(sums[v], sums[v], d); //                       sum d
                a.vfmadd231ps(squares[v], d, d); //                     sum d^2
            }
        }
        emit_next_x(a, r);
    });
    a.vpxor(r.zero, r.zero, r.zero);
    for v in 0..columns.shift.len() {
        let (shift, mean, rstd) = (columns.shift[v], columns.mean[v], columns.rstd[v]);
        let (sum, square) = (columns.sums[0][v], columns.squares[0][v]);
        a.vaddps(sum, sum, columns.sums[1][v]);
        a.vaddps(square, square, columns.squares[1][v]);
        let (mean_d, variance) = (sum, square); //                      the sums end here
        a.vdivps_broadcast(mean_d, sum, r.arg(offset_of!(LayerNormArgs, features)), r.scratch);
        a.vdivps_broadcast(variance, square, r.arg(offset_of!(LayerNormArgs, features)), r.scratch);
        a.vsubps(mean, shift, mean_d); //                               mean = shift - mean of d
        a.vfnmadd231ps(variance, mean_d, mean_d); //                    variance = mean of d^2 - (mean of d)^2
        a.vmaxps(variance, r.zero, variance); //                          not below 0; NaN stays: it is the second operand
        a.vaddps_broadcast(variance, variance, r.arg(offset_of!(LayerNormArgs, epsilon)), r.scratch);
        let deviation = variance;
        a.vsqrtps(deviation, variance);
        a.vbroadcastss(rstd, r.arg(offset_of!(LayerNormArgs, one)));
        a.vdivps(rstd, rstd, deviation);
    }
}

/// `y = (x - mean) rstd gamma + beta`, four rows at a time, to the f32 tile and the panel.
fn emit_normalize<W>(a: &mut Asm<W>, plan: &LayerNormPlan, r: &Regs, columns: &Columns<'_>)
where
    Asm<W>: RowVerbs,
{
    a.remark("normalise, quantise, store");
    load_args!(a, r, LayerNormArgs { x, params });
    if plan.panel.is_some() {
        load_args!(a, r, LayerNormArgs { panel });
    }
    emit_row_groups(a, plan.features, r.count, |a, rows| {
        for (row, y) in columns.y[..rows].iter().enumerate() {
            emit_normalize_row(a, plan, r, columns, row, y);
        }
        if let Some(layout) = plan.panel {
            let sign = plan.sign();
            let panel = PanelRows { layout, sign, group: r.panel, constants: r.constants, temps: &r.temp };
            emit_store_panel(a, &panel, &columns.y, rows);
        }
        dynasm!(a ; .arch x64 ; add Rq(r.params), (GROUP * size_of::<NormParams>()) as i32);
        emit_next_x(a, r);
    });
}

/// One row: f32 to the tile; s32 stays in `y`.
fn emit_normalize_row<W>(a: &mut Asm<W>, plan: &LayerNormPlan, r: &Regs, columns: &Columns<'_>, row: usize, y: &[Zmm])
where
    Asm<W>: RowVerbs,
{
    let param = |field: usize| ptr(r.params) + (row * size_of::<NormParams>() + field) as i32;
    a.vbroadcastss(r.gamma, param(offset_of!(NormParams, gamma)));
    a.vbroadcastss(r.beta, param(offset_of!(NormParams, beta)));
    for (v, &y) in y.iter().enumerate() {
        a.vsubps(y, columns.mean[v], element(r.x, row, v)); //          y = mean - x[f]
        a.vmulps(y, y, columns.rstd[v]); //                             y = (mean - x[f]) rstd
        a.vfnmadd213ps(y, r.gamma, r.beta); //                              y = (x[f] - mean) rstd gamma[f] + beta[f]
        if plan.f32 {
            a.vmovups_st(element(r.x, row, v), y);
        }
    }
    if plan.panel.is_some() {
        let params = [param(offset_of!(NormParams, out_scale)), param(offset_of!(NormParams, out_zero))];
        emit_quantize(a, y, params, [r.out_scale, r.out_zero]);
    }
}

fn emit_next_x<W>(a: &mut Asm<W>, r: &Regs) {
    dynasm!(a ; .arch x64 ; add Rq(r.x), GROUP as i32 * F32_ROW_BYTES);
}
