//! The layernorm kernel as instructions. One call computes one tile.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, dynasm};
use lacuna_jit::{Asm, Code, Evex, Gpr, JitError, Mem, RegFile, Zmm, ptr};

use super::params::NormParams;
use super::plan::{CHAINS, LayerNormPlan};
use crate::epilogue::{EpilogueRegs, OutputLanes, emit_store_bytes};
use crate::rows::{F32_ROW_BYTES, GROUP, PANEL_ROW_BYTES, VECTOR_BYTES, emit_by_vectors, emit_row_groups};
use crate::{Plan, Sign, VECTORS};

/// What the kernel is called with.
#[derive(Debug)]
#[repr(C)]
pub(super) struct LayerNormArgs {
    /// The f32 tile.
    pub(super) x: *mut f32,
    /// The panel's tile, if one is written.
    pub(super) panel: *mut u8,
    /// Parameters of the first feature.
    pub(super) params: *const NormParams,
    /// [`crate::epilogue::Constants::address`].
    pub(super) constants: *const u8,
    /// Tokens of this tile, 1..=64.
    pub(super) tokens: usize,
    /// F.
    pub(super) features: f32,
    /// Features whose mean is the shift.
    pub(super) shift_features: f32,
    /// Added to the variance.
    pub(super) epsilon: f32,
    /// 1.
    pub(super) one: f32,
}

/// REGISTER LAYOUT, W = vectors of 16 tokens
///
/// | registers | statistics | normalising |
/// | --- | --- | --- |
/// | acc, 4 W of 16 | sums of d, sums of d^2, each `[f mod 2][v]`, tokens 16v..16v+16 | `y[f mod 4][v]`, then packed |
/// | mean, W of 4 | shift, then mean | mean |
/// | rstd, W of 4 | | 1 / sqrt(variance + epsilon) |
/// | temp, 4 | deviations | gamma, beta, out_scale, out_zero; byte transpose |
struct Regs {
    file: RegFile,
    x: Gpr,
    panel: Gpr,
    params: Gpr,
    constants: Gpr,
    tokens: Gpr,
    count: Gpr,
    acc: Vec<Zmm>,
    mean: Vec<Zmm>,
    rstd: Vec<Zmm>,
    temp: Vec<Zmm>,
}

impl Regs {
    fn new() -> Result<Regs, JitError> {
        let mut file = RegFile::new();
        Ok(Regs {
            x: file.gpr("row of the f32 tile")?,
            panel: file.gpr("row of the panel")?,
            params: file.gpr("parameters of the feature")?,
            constants: file.gpr("constants")?,
            tokens: file.gpr("tokens")?,
            count: file.gpr("groups of four rows left")?,
            acc: file.zmms(GROUP * VECTORS, "sums of d and d^2 [f mod 2][v]; y[f mod 4][v]")?,
            mean: file.zmms(VECTORS, "shift[v]; mean[v]")?,
            rstd: file.zmms(VECTORS, "rstd[v]")?,
            temp: file.zmms(4, "deviations; gamma, beta, out_scale, out_zero; byte transpose")?,
            file,
        })
    }

    fn arg(&self, offset: usize) -> Mem {
        ptr(self.file.args()) + offset as i32
    }
}

/// Sums over the features of one tile, by f mod 2, and the value they are taken about.
struct Sums {
    /// Of d.
    first: Vec<Vec<Zmm>>,
    /// Of d^2.
    second: Vec<Vec<Zmm>>,
    shift: Vec<Zmm>,
}

impl Sums {
    fn new(acc: &[Vec<Zmm>], shift: &[Zmm]) -> Sums {
        let (first, second) = acc.split_at(CHAINS);
        Sums { first: first.to_vec(), second: second.to_vec(), shift: shift.to_vec() }
    }
}

macro_rules! load_arg {
    ($a:expr, $regs:expr, $field:ident) => {
        $a.load_arg($regs.$field, &$regs.file, offset_of!(LayerNormArgs, $field))
    };
}

/// Generates the kernel.
pub(super) fn emit(plan: &LayerNormPlan) -> Result<Code, JitError> {
    let r = Regs::new()?;
    let mut a = Asm::new();
    a.prologue(&r.file);
    load_arg!(a, r, tokens);
    load_arg!(a, r, constants);
    emit_by_vectors(&mut a, r.tokens, |a, vectors| {
        let acc: Vec<Vec<Zmm>> = r.acc.chunks(VECTORS).map(|row| row[..vectors].to_vec()).collect();
        let sums = Sums::new(&acc, &r.mean[..vectors]);
        emit_shift(a, plan, &r, &sums);
        emit_statistics(a, plan, &r, &sums);
        emit_normalize(a, plan, &r, &acc);
    });
    a.epilogue(&r.file);
    a.finish(plan.name(), &r.file)
}

/// `shift = sum_(f < S) x[f] / S`, the mean of the first features. Those rows are in L1 when the statistics read them
/// again.
fn emit_shift(a: &mut Asm, plan: &LayerNormPlan, r: &Regs, sums: &Sums) {
    a.note("shift: mean of the first features");
    emit_zero(a, &sums.first);
    load_arg!(a, r, x);
    emit_row_groups(a, plan.shift_features(), r.count, |a, rows| {
        for row in 0..rows {
            for (v, &sum) in sums.first[row % CHAINS].iter().enumerate() {
                a.vaddps(sum, sum, element(r.x, row, v)); //            sum[f mod 2] += x[f]
            }
        }
        emit_next_x(a, r);
    });
    for (v, &shift) in sums.shift.iter().enumerate() {
        a.vaddps(shift, sums.first[0][v], sums.first[1][v]);
        a.vdivps(shift, shift, r.arg(offset_of!(LayerNormArgs, shift_features)).bcast());
    }
}

/// With d = shift - x[f]: `mean = shift - sum_f d / F` and
/// `rstd = 1 / sqrt(sum_f d^2 / F - (sum_f d / F)^2 + epsilon)`.
fn emit_statistics(a: &mut Asm, plan: &LayerNormPlan, r: &Regs, sums: &Sums) {
    a.note("mean and variance about the shift");
    emit_zero(a, &sums.first);
    emit_zero(a, &sums.second);
    load_arg!(a, r, x);
    emit_row_groups(a, plan.features, r.count, |a, rows| {
        for row in 0..rows {
            for (v, &shift) in sums.shift.iter().enumerate() {
                let (d, first, second) = (r.temp[v], sums.first[row % CHAINS][v], sums.second[row % CHAINS][v]);
                a.vsubps(d, shift, element(r.x, row, v)); //            d = shift - x[f]
                a.vaddps(first, first, d); //                           sum d
                a.vfmadd231ps(second, d, d); //                         sum d^2
            }
        }
        emit_next_x(a, r);
    });
    a.vpxord(r.temp[0], r.temp[0], r.temp[0]);
    for (v, &mean) in sums.shift.iter().enumerate() {
        let (first, second, rstd) = (sums.first[0][v], sums.second[0][v], r.rstd[v]);
        a.vaddps(first, first, sums.first[1][v]);
        a.vaddps(second, second, sums.second[1][v]);
        a.vdivps(first, first, r.arg(offset_of!(LayerNormArgs, features)).bcast());
        a.vdivps(second, second, r.arg(offset_of!(LayerNormArgs, features)).bcast());
        a.vsubps(mean, mean, first); //                                 mean = shift - mean of d
        a.vfnmadd231ps(second, first, first); //                        variance = mean of d^2 - (mean of d)^2
        a.vmaxps(second, r.temp[0], second); //                         not below 0; NaN stays: it is the second operand
        a.vaddps(second, second, r.arg(offset_of!(LayerNormArgs, epsilon)).bcast());
        a.vsqrtps(second, second);
        a.vbroadcastss(rstd, r.arg(offset_of!(LayerNormArgs, one)));
        a.vdivps(rstd, rstd, second);
    }
}

/// `y = (x - mean) rstd gamma + beta`, four rows at a time, to the f32 tile and the panel.
fn emit_normalize(a: &mut Asm, plan: &LayerNormPlan, r: &Regs, acc: &[Vec<Zmm>]) {
    a.note("normalise, quantise, store");
    load_arg!(a, r, x);
    load_arg!(a, r, params);
    if plan.panel.is_some() {
        load_arg!(a, r, panel);
    }
    emit_row_groups(a, plan.features, r.count, |a, rows| {
        for (row, y) in acc[..rows].iter().enumerate() {
            emit_normalize_row(a, plan, r, row, y);
        }
        if let Some(layout) = plan.panel {
            for &padding in acc[rows..].iter().flatten() {
                a.vpxord(padding, padding, padding); //                 padding features are 0
            }
            let rows = EpilogueRegs::rows_from(ptr(r.panel), PANEL_ROW_BYTES);
            let regs = EpilogueRegs { params: ptr(r.params), rows, constants: r.constants, temps: &r.temp };
            emit_store_bytes(a, layout, Sign::Unsigned, acc, &regs, OutputLanes::WholeRow);
            dynasm!(a ; .arch x64 ; add Rq(r.panel), GROUP as i32 * PANEL_ROW_BYTES);
        }
        dynasm!(a ; .arch x64 ; add Rq(r.params), (GROUP * size_of::<NormParams>()) as i32);
        emit_next_x(a, r);
    });
}

/// One row: f32 to the tile; s32 stays in `y`.
fn emit_normalize_row(a: &mut Asm, plan: &LayerNormPlan, r: &Regs, row: usize, y: &[Zmm]) {
    let param = |field: usize| ptr(r.params) + (row * size_of::<NormParams>() + field) as i32;
    let (gamma, beta, scale, zero) = (r.temp[0], r.temp[1], r.temp[2], r.temp[3]);
    a.vbroadcastss(gamma, param(offset_of!(NormParams, gamma)));
    a.vbroadcastss(beta, param(offset_of!(NormParams, beta)));
    for (v, &y) in y.iter().enumerate() {
        a.vsubps(y, r.mean[v], element(r.x, row, v)); //                y = mean - x[f]
        a.vmulps(y, y, r.rstd[v]); //                                   y = (mean - x[f]) rstd
        a.vfnmadd213ps(y, gamma, beta); //                              y = (x[f] - mean) rstd gamma[f] + beta[f]
        if plan.f32 {
            a.vmovups_st(element(r.x, row, v), y);
        }
    }
    if plan.panel.is_some() {
        a.vbroadcastss(scale, param(offset_of!(NormParams, out_scale)));
        a.vbroadcastss(zero, param(offset_of!(NormParams, out_zero)));
        for &y in y {
            a.vfmadd213ps(y, scale, zero); //                           q = y out_scale[f] + out_zero[f]
            a.vcvtps2dq(y, y);
        }
    }
}

/// Row `row` of the group, tokens 16v..16v+16.
fn element(x: Gpr, row: usize, v: usize) -> Mem {
    ptr(x) + (row as i32 * F32_ROW_BYTES + v as i32 * VECTOR_BYTES)
}

fn emit_next_x(a: &mut Asm, r: &Regs) {
    dynasm!(a ; .arch x64 ; add Rq(r.x), GROUP as i32 * F32_ROW_BYTES);
}

fn emit_zero(a: &mut Asm, sums: &[Vec<Zmm>]) {
    for &zmm in sums.iter().flatten() {
        a.vpxord(zmm, zmm, zmm);
    }
}
