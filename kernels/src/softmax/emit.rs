//! The softmax kernel as instructions. One call computes one tile, in three passes over its rows.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, dynasm};
use lacuna_jit::{Asm, Code, Evex, Gpr, JitError, Mem, RegFile, Zmm, ptr};

use super::desc::SoftmaxPlan;
use crate::math::{EXP_MAGIC, EXP_MIN, EXP_POWERS, EXP_R, LOG2_E};
use crate::rows::{F32_ROW_BYTES, GROUP, VECTOR_BYTES, emit_by_vectors, emit_row_groups, emit_row_groups_back};
use crate::{Generate, LANES, Plan, VECTORS};

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
    powers: [f32; LANES],
    r: [f32; EXP_R.len()],
    log2_e: f32,
    magic: f32,
    min: f32,
    minus_infinity: f32,
    one: f32,
}

impl Constants {
    pub(super) const TABLE: &'static Constants = &Constants {
        powers: EXP_POWERS,
        r: EXP_R,
        log2_e: LOG2_E,
        magic: EXP_MAGIC,
        min: EXP_MIN,
        minus_infinity: f32::NEG_INFINITY,
        one: 1.0,
    };
}

/// Accumulators per vector of tokens, for even and for odd features.
pub(super) const CHAINS: usize = 2;

/// REGISTER LAYOUT, W = vectors of 16 tokens
///
/// | registers | maximum | exponentials | scaling |
/// | --- | --- | --- | --- |
/// | acc, 2 W of 8 | `max[f mod 2][v]` | `sum[f mod 2][v]` | |
/// | column, W of 4 | | max of all features | 1 / sum |
/// | x, 4 | | `x[f] - max`, then r | `y[f]` |
/// | power, 4 | | `(x[f] - max) log2(e)` to the nearest 1/16, then 2^ that | |
/// | e, 4 | | that as a number, then e[f] | |
/// | powers, r, log2_e, magic, min | | constants | |
struct Regs {
    file: RegFile,
    row: Gpr,
    constants: Gpr,
    tokens: Gpr,
    count: Gpr,
    acc: Vec<Zmm>,
    column: Vec<Zmm>,
    x: Vec<Zmm>,
    power: Vec<Zmm>,
    e: Vec<Zmm>,
    powers: Zmm,
    r: Vec<Zmm>,
    log2_e: Zmm,
    magic: Zmm,
    min: Zmm,
}

impl Regs {
    fn new() -> Result<Regs, JitError> {
        let mut file = RegFile::new();
        Ok(Regs {
            row: file.gpr("row of the tile")?,
            constants: file.gpr("constants")?,
            tokens: file.gpr("tokens")?,
            count: file.gpr("groups of four rows left")?,
            acc: file.zmms(CHAINS * VECTORS, "max[f mod 2][v]; sum[f mod 2][v]")?,
            column: file.zmms(VECTORS, "max[v]; 1 / sum[v]")?,
            x: file.zmms(VECTORS, "x - max; r; y")?,
            power: file.zmms(VECTORS, "2^(n/16)")?,
            e: file.zmms(VECTORS, "n/16; e")?,
            powers: file.zmm("2^(i/16)")?,
            r: file.zmms(EXP_R.len(), "coefficients of 2^-r")?,
            log2_e: file.zmm("log2(e)")?,
            magic: file.zmm("rounds to 1/16")?,
            min: file.zmm("least exponent")?,
            file,
        })
    }

    fn constant(&self, offset: usize) -> Mem {
        ptr(self.constants) + offset as i32
    }

    /// Row `row` of the group, tokens 16v..16v+16.
    fn element(&self, row: usize, v: usize) -> Mem {
        ptr(self.row) + (row as i32 * F32_ROW_BYTES + v as i32 * VECTOR_BYTES)
    }
}

/// Registers of the vectors of one tile.
struct Columns<'a> {
    /// `[f mod 2][v]`
    acc: [&'a [Zmm]; CHAINS],
    column: &'a [Zmm],
}

impl Columns<'_> {
    /// The vectors of `rows` rows as (row, v), from the last row on, four at a time: enough to hide each other's latency.
    fn fours(&self, rows: usize) -> Vec<Vec<(usize, usize)>> {
        let all: Vec<_> = (0..rows).rev().flat_map(|row| (0..self.column.len()).map(move |v| (row, v))).collect();
        all.chunks(VECTORS).map(<[_]>::to_vec).collect()
    }
}

macro_rules! load_arg {
    ($a:expr, $regs:expr, $register:ident, $field:ident) => {
        $a.load_arg($regs.$register, &$regs.file, offset_of!(SoftmaxArgs, $field))
    };
}

impl Generate for SoftmaxPlan {
    fn generate(&self) -> Result<Code, JitError> {
        emit(self)
    }
}

/// Generates the kernel.
fn emit(plan: &SoftmaxPlan) -> Result<Code, JitError> {
    let r = Regs::new()?;
    let mut a = Asm::new();
    a.prologue(&r.file);
    load_arg!(a, r, constants, constants);
    load_arg!(a, r, tokens, tokens);
    a.vmovups(r.powers, r.constant(offset_of!(Constants, powers)));
    for (k, &coefficient) in r.r.iter().enumerate() {
        a.vbroadcastss(coefficient, r.constant(offset_of!(Constants, r) + 4 * k));
    }
    a.vbroadcastss(r.log2_e, r.constant(offset_of!(Constants, log2_e)));
    a.vbroadcastss(r.magic, r.constant(offset_of!(Constants, magic)));
    a.vbroadcastss(r.min, r.constant(offset_of!(Constants, min)));
    emit_by_vectors(&mut a, r.tokens, |a, vectors| {
        let (even, odd) = r.acc.split_at(VECTORS);
        let columns = Columns { acc: [&even[..vectors], &odd[..vectors]], column: &r.column[..vectors] };
        emit_max(a, plan, &r, &columns);
        emit_exponentials(a, plan, &r, &columns);
        emit_scale(a, plan, &r, &columns);
    });
    a.epilogue(&r.file);
    a.finish(plan.name(), &r.file)
}

/// `column = max_f x[f]`, from the first row to the last.
fn emit_max(a: &mut Asm, plan: &SoftmaxPlan, r: &Regs, columns: &Columns<'_>) {
    a.note("maximum");
    for &max in columns.acc.iter().copied().flatten() {
        a.vbroadcastss(max, r.constant(offset_of!(Constants, minus_infinity)));
    }
    load_arg!(a, r, row, x);
    emit_row_groups(a, plan.features, r.count, |a, rows| {
        for row in 0..rows {
            for (v, &max) in columns.acc[row % CHAINS].iter().enumerate() {
                a.vmaxps(max, max, r.element(row, v)); //           max[f mod 2] = max(max[f mod 2], x[f])
            }
        }
        dynasm!(a ; .arch x64 ; add Rq(r.row), rows as i32 * F32_ROW_BYTES);
    });
    for ((&column, &even), &odd) in columns.column.iter().zip(columns.acc[0]).zip(columns.acc[1]) {
        a.vmaxps(column, even, odd);
    }
}

/// `x[f] = e[f] = e^(x[f] - max)` and `column = 1 / sum_f e[f]`, from the last row, where the first pass ended, to the first.
fn emit_exponentials(a: &mut Asm, plan: &SoftmaxPlan, r: &Regs, columns: &Columns<'_>) {
    a.note("exponentials and their sum");
    for &sum in columns.acc.iter().copied().flatten() {
        a.vpxord(sum, sum, sum);
    }
    emit_row_groups_back(a, plan.features, r.count, |a, rows| {
        dynasm!(a ; .arch x64 ; sub Rq(r.row), rows as i32 * F32_ROW_BYTES);
        for four in columns.fours(rows) {
            emit_exp(a, r, columns, &four);
        }
    });
    a.vbroadcastss(r.x[0], r.constant(offset_of!(Constants, one)));
    for ((&column, &even), &odd) in columns.column.iter().zip(columns.acc[0]).zip(columns.acc[1]) {
        a.vaddps(even, even, odd);
        a.vdivps(column, r.x[0], even); //                          1 / sum
    }
}

/// `x[f] = e[f]` and `sum[f mod 2] += e[f]` of the vectors (row, v), as [`crate::math::exp`] step by step.
fn emit_exp(a: &mut Asm, r: &Regs, columns: &Columns<'_>, vectors: &[(usize, usize)]) {
    let n = vectors.len();
    let (x, power, e) = (&r.x[..n], &r.power[..n], &r.e[..n]);
    for (&x, &(row, v)) in x.iter().zip(vectors) {
        a.vmovups(x, r.element(row, v));
        a.vsubps(x, x, columns.column[v]); //                       x - max
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
        let sum = columns.acc[row % CHAINS][v];
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
            for (&y, &(row, v)) in r.x.iter().zip(&four) {
                a.vmulps(y, columns.column[v], r.element(row, v));
                a.vmovups_st(r.element(row, v), y);
            }
        }
        dynasm!(a ; .arch x64 ; add Rq(r.row), rows as i32 * F32_ROW_BYTES);
    });
}

const _: () = assert!(GROUP.is_multiple_of(CHAINS)); // a group starts with an even feature
