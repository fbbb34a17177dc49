//! The softmax kernel as instructions. One call computes one tile, 16 tokens (a column of vectors) at a time.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Code, Evex, Gpr, JitError, Mem, RegFile, Zmm, ptr};

use super::desc::SoftmaxPlan;
use crate::math::{EXP2_FINE, LOG2_E};
use crate::rows::{F32_ROW_BYTES, GROUP, VECTOR_BYTES, emit_row_groups};
use crate::{LANES, Plan};

/// 2^t is 0 in f32 for any t below this.
pub(super) const MIN_EXPONENT: f32 = -200.0;

/// `vrndscaleps`: to an integer, rounding down, without a precision exception.
const FLOOR: u8 = 0b1001;

/// What the kernel is called with.
#[derive(Debug)]
#[repr(C)]
pub(super) struct SoftmaxArgs {
    /// The f32 tile.
    pub(super) x: *mut f32,
    /// [`Constants::TABLE`].
    pub(super) constants: *const Constants,
    /// Tokens of this tile, 1..=64.
    pub(super) tokens: usize,
}

/// Read-only memory the generated code points to.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Constants {
    exp2: [f32; EXP2_FINE.len()],
    log2_e: f32,
    min_exponent: f32,
    minus_infinity: f32,
    one: f32,
}

impl Constants {
    pub(super) const TABLE: &'static Constants = &Constants {
        exp2: EXP2_FINE,
        log2_e: LOG2_E,
        min_exponent: MIN_EXPONENT,
        minus_infinity: f32::NEG_INFINITY,
        one: 1.0,
    };
}

/// REGISTER LAYOUT
///
/// | registers | maximum | exponentials | scaling |
/// | --- | --- | --- | --- |
/// | acc, 4 | `max[f mod 4]` | `sum[f mod 4]` | |
/// | column | | max of all features | 1 / sum |
/// | t, 4 | | `(x[f] - max) log2(e)` | `y[f]` |
/// | p, 4 | | `2^fraction(t)`, then `e[f]` | |
/// | fraction, 4 | | `t - floor(t)` | |
/// | exp2, 7; log2_e; min_exponent | constants | | |
struct Regs {
    file: RegFile,
    x: Gpr,
    column_start: Gpr,
    constants: Gpr,
    tokens: Gpr,
    count: Gpr,
    acc: Vec<Zmm>,
    column: Zmm,
    t: Vec<Zmm>,
    p: Vec<Zmm>,
    fraction: Vec<Zmm>,
    exp2: Vec<Zmm>,
    log2_e: Zmm,
    min_exponent: Zmm,
}

impl Regs {
    fn new() -> Result<Regs, JitError> {
        let mut file = RegFile::new();
        Ok(Regs {
            x: file.gpr("row of the tile")?,
            column_start: file.gpr("first row of the column")?,
            constants: file.gpr("constants")?,
            tokens: file.gpr("tokens left")?,
            count: file.gpr("groups of four rows left")?,
            acc: file.zmms(GROUP, "max[f mod 4]; sum[f mod 4]")?,
            column: file.zmm("max; 1 / sum")?,
            t: file.zmms(GROUP, "(x - max) log2(e); y")?,
            p: file.zmms(GROUP, "2^fraction; e")?,
            fraction: file.zmms(GROUP, "fraction of t")?,
            exp2: file.zmms(EXP2_FINE.len(), "coefficients of 2^f")?,
            log2_e: file.zmm("log2(e)")?,
            min_exponent: file.zmm("least exponent")?,
            file,
        })
    }

    fn constant(&self, offset: usize) -> Mem {
        ptr(self.constants) + offset as i32
    }
}

macro_rules! load_arg {
    ($a:expr, $regs:expr, $register:ident, $field:ident) => {
        $a.load_arg($regs.$register, &$regs.file, offset_of!(SoftmaxArgs, $field))
    };
}

/// Generates the kernel.
pub(super) fn emit(plan: &SoftmaxPlan) -> Result<Code, JitError> {
    let r = Regs::new()?;
    let mut a = Asm::new();
    a.prologue(&r.file);
    load_arg!(a, r, column_start, x);
    load_arg!(a, r, constants, constants);
    load_arg!(a, r, tokens, tokens);
    for (k, &coefficient) in r.exp2.iter().enumerate() {
        a.vbroadcastss(coefficient, r.constant(offset_of!(Constants, exp2) + 4 * k));
    }
    a.vbroadcastss(r.log2_e, r.constant(offset_of!(Constants, log2_e)));
    a.vbroadcastss(r.min_exponent, r.constant(offset_of!(Constants, min_exponent)));

    dynasm!(a ; .arch x64 ; ->column:);
    emit_max(&mut a, plan, &r);
    emit_exponentials(&mut a, plan, &r);
    emit_scale(&mut a, plan, &r);
    a.note("next 16 tokens");
    dynasm!(a
        ; .arch x64
        ; add Rq(r.column_start), VECTOR_BYTES
        ; sub Rq(r.tokens), LANES as i32
        ; jg ->column
    );
    a.epilogue(&r.file);
    a.finish(plan.name(), &r.file)
}

/// `column = max_f x[f]`.
fn emit_max(a: &mut Asm, plan: &SoftmaxPlan, r: &Regs) {
    a.note("maximum of the column");
    for &max in &r.acc {
        a.vbroadcastss(max, r.constant(offset_of!(Constants, minus_infinity)));
    }
    emit_rows(a, plan, r, |a, rows| {
        for (row, &max) in r.acc[..rows].iter().enumerate() {
            a.vmaxps(max, max, element(r, row)); //             max[f mod 4] = max(max[f mod 4], x[f])
        }
    });
    a.vmaxps(r.acc[0], r.acc[0], r.acc[1]);
    a.vmaxps(r.acc[2], r.acc[2], r.acc[3]);
    a.vmaxps(r.column, r.acc[0], r.acc[2]);
}

/// `x[f] = e[f] = 2^((x[f] - max) log2(e))`, and `column = 1 / sum_f e[f]`.
fn emit_exponentials(a: &mut Asm, plan: &SoftmaxPlan, r: &Regs) {
    a.note("exponentials and their sum");
    for &sum in &r.acc {
        a.vpxord(sum, sum, sum);
    }
    emit_rows(a, plan, r, |a, rows| emit_exp_rows(a, r, rows));
    a.vaddps(r.acc[0], r.acc[0], r.acc[1]);
    a.vaddps(r.acc[2], r.acc[2], r.acc[3]);
    a.vaddps(r.acc[0], r.acc[0], r.acc[2]);
    a.vbroadcastss(r.column, r.constant(offset_of!(Constants, one)));
    a.vdivps(r.column, r.column, r.acc[0]); //                  1 / sum
}

/// `x[f] = e[f]` and `sum[f mod 4] += e[f]` for `rows` rows, interleaved.
fn emit_exp_rows(a: &mut Asm, r: &Regs, rows: usize) {
    let (t, p, fraction) = (&r.t[..rows], &r.p[..rows], &r.fraction[..rows]);
    let (&highest, lower) = r.exp2.split_last().expect("EXP2_FINE has coefficients");
    for (row, &t) in t.iter().enumerate() {
        a.vmovups(t, element(r, row));
        a.vsubps(t, t, r.column); //                            x - max
        a.vmulps(t, t, r.log2_e); //                            t = (x - max) log2(e)
        a.vmaxps(t, r.min_exponent, t); //                      NaN stays: it is the second operand
    }
    for (&fraction, &t) in fraction.iter().zip(t) {
        // Not vreduceps: it may round its difference down as well, here it is to be rounded to nearest.
        a.vrndscaleps(fraction, t, FLOOR);
        a.vsubps(fraction, t, fraction); //                     t - floor(t), in [0, 1]
    }
    for &p in p {
        a.vmovups(p, highest);
    }
    for &coefficient in lower.iter().rev() {
        for (&p, &fraction) in p.iter().zip(fraction) {
            a.vfmadd213ps(p, fraction, coefficient); //         p = p fraction + c[k]
        }
    }
    for (row, (&p, &t)) in p.iter().zip(t).enumerate() {
        a.vscalefps(p, p, t); //                                e = p 2^floor(t)
        a.vmovups_st(element(r, row), p);
        a.vaddps(r.acc[row], r.acc[row], p); //                 sum[f mod 4] += e[f]
    }
}

/// `x[f] = e[f] / sum`.
fn emit_scale(a: &mut Asm, plan: &SoftmaxPlan, r: &Regs) {
    a.note("scale by 1 / sum");
    emit_rows(a, plan, r, |a, rows| {
        for (row, &y) in r.t[..rows].iter().enumerate() {
            a.vmulps(y, r.column, element(r, row));
            a.vmovups_st(element(r, row), y);
        }
    });
}

/// A pass down the column, four rows at a time.
fn emit_rows(a: &mut Asm, plan: &SoftmaxPlan, r: &Regs, mut body: impl FnMut(&mut Asm, usize)) {
    dynasm!(a ; .arch x64 ; mov Rq(r.x), Rq(r.column_start));
    emit_row_groups(a, plan.features, r.count, |a, rows| {
        body(a, rows);
        dynasm!(a ; .arch x64 ; add Rq(r.x), GROUP as i32 * F32_ROW_BYTES);
    });
}

fn element(r: &Regs, row: usize) -> Mem {
    ptr(r.x) + row as i32 * F32_ROW_BYTES
}
