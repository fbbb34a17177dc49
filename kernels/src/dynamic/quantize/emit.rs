//! The kernel as instructions. One call computes one tile.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, dynasm};
use lacuna_jit::{Asm, Code, Evex, Gpr, JitError, Mem, RegFile, Zmm, ptr};

use super::desc::TokenQuantPlan;
use crate::epilogue::{EpilogueRegs, OutputLanes, emit_store_bytes};
use crate::rows::{F32_ROW_BYTES, GROUP, PANEL_ROW_BYTES, VECTOR_BYTES, emit_by_vectors, emit_row_groups};
use crate::{Generate, Plan, Sign, VECTORS};

/// What the kernel is called with.
#[derive(Debug)]
#[repr(C)]
pub(super) struct TokenQuantArgs {
    /// The f32 tile.
    pub(super) x: *const f32,
    /// The panel's tile.
    pub(super) panel: *mut u8,
    /// Inverse scale of the first feature.
    pub(super) inverse: *const f32,
    /// Scale of the tile's first token.
    pub(super) scales: *mut f32,
    /// [`crate::epilogue::Constants::address`].
    pub(super) constants: *const u8,
    /// Tokens of this tile, 1..=64.
    pub(super) tokens: usize,
    /// All bits but the sign.
    pub(super) magnitude: u32,
    /// [`super::super::LEAST_MAXIMUM`].
    pub(super) least: f32,
    /// [`super::super::CODES`].
    pub(super) codes: f32,
    /// [`super::super::ZERO_CODE`].
    pub(super) zero: f32,
}

/// REGISTER LAYOUT, W = vectors of 16 tokens
///
/// | registers | maxima | codes |
/// | --- | --- | --- |
/// | y, 4 W of 16 | `y[0][v]`: magnitudes, tokens 16v..16v+16 | `y[f mod 4][v]`, then packed |
/// | factor, W of 4 | maxima, then 127 / maximum | 127 / maximum |
/// | temp, 2 | inverse scale, mask | inverse scale, 128; byte transpose |
struct Regs {
    file: RegFile,
    x: Gpr,
    panel: Gpr,
    inverse: Gpr,
    scales: Gpr,
    constants: Gpr,
    tokens: Gpr,
    count: Gpr,
    y: Vec<Zmm>,
    factor: Vec<Zmm>,
    temp: Vec<Zmm>,
}

impl Regs {
    fn new() -> Result<Regs, JitError> {
        let mut file = RegFile::new();
        Ok(Regs {
            x: file.gpr("row of the f32 tile")?,
            panel: file.gpr("row of the panel")?,
            inverse: file.gpr("inverse scale of the feature")?,
            scales: file.gpr("scales of the tokens")?,
            constants: file.gpr("constants")?,
            tokens: file.gpr("tokens")?,
            count: file.gpr("groups of four rows left")?,
            y: file.zmms(GROUP * VECTORS, "magnitudes; y[f mod 4][v]")?,
            factor: file.zmms(VECTORS, "maximum[v]; 127 / maximum[v]")?,
            temp: file.zmms(2, "inverse scale, mask; 128; byte transpose")?,
            file,
        })
    }

    fn arg(&self, offset: usize) -> Mem {
        ptr(self.file.args()) + offset as i32
    }
}

macro_rules! load_arg {
    ($a:expr, $regs:expr, $field:ident) => {
        $a.load_arg($regs.$field, &$regs.file, offset_of!(TokenQuantArgs, $field))
    };
}

impl Generate for TokenQuantPlan {
    fn generate(&self) -> Result<Code, JitError> {
        emit(self)
    }
}

/// Generates the kernel.
fn emit(plan: &TokenQuantPlan) -> Result<Code, JitError> {
    let r = Regs::new()?;
    let mut a = Asm::new();
    a.prologue(&r.file);
    load_arg!(a, r, panel);
    load_arg!(a, r, scales);
    load_arg!(a, r, constants);
    load_arg!(a, r, tokens);
    emit_by_vectors(&mut a, r.tokens, |a, vectors| {
        let y: Vec<Vec<Zmm>> = r.y.chunks(VECTORS).map(|row| row[..vectors].to_vec()).collect();
        emit_maxima(a, plan, &r, &y[0], &r.factor[..vectors]);
        emit_scales(a, &r, &y[0], &r.factor[..vectors]);
        emit_codes(a, plan, &r, &y, &r.factor[..vectors]);
    });
    a.epilogue(&r.file);
    a.finish(plan.name(), &r.file)
}

/// `max[v] = max_f |x[f] inverse[f]|`, compared as integers: a NaN is more than infinity.
fn emit_maxima(a: &mut Asm, plan: &TokenQuantPlan, r: &Regs, d: &[Zmm], max: &[Zmm]) {
    a.note("maximum of every token");
    let (inverse, magnitude) = (r.temp[0], r.temp[1]);
    load_arg!(a, r, x);
    load_arg!(a, r, inverse);
    a.vpbroadcastd(magnitude, r.arg(offset_of!(TokenQuantArgs, magnitude)));
    for &max in max {
        a.vpxord(max, max, max);
    }
    emit_row_groups(a, plan.features, r.count, |a, rows| {
        for row in 0..rows {
            a.vbroadcastss(inverse, ptr(r.inverse) + 4 * row as i32);
            for (v, (&d, &max)) in d.iter().zip(max).enumerate() {
                a.vmulps(d, inverse, element(r.x, row, v)); //          d = x[f] inverse[f]
                a.vpandd(d, d, magnitude);
                a.vpmaxsd(max, max, d);
            }
        }
        emit_next(a, r);
    });
}

/// `scale[v] = max[v] / 127` to memory; `max[v]` becomes `127 / max[v]`.
fn emit_scales(a: &mut Asm, r: &Regs, scale: &[Zmm], max: &[Zmm]) {
    a.note("scales");
    let (least, codes) = (r.temp[0], r.temp[1]);
    a.vbroadcastss(least, r.arg(offset_of!(TokenQuantArgs, least)));
    a.vbroadcastss(codes, r.arg(offset_of!(TokenQuantArgs, codes)));
    for (v, (&scale, &max)) in scale.iter().zip(max).enumerate() {
        a.vmaxps(max, least, max); //                                   NaN stays: it is the second operand
        a.vdivps(scale, max, codes);
        a.vmovups_st(ptr(r.scales) + v as i32 * VECTOR_BYTES, scale);
        a.vdivps(max, codes, max);
    }
}

/// `code = round(x[f] inverse[f] factor + 128)`, four rows at a time, to the panel.
fn emit_codes(a: &mut Asm, plan: &TokenQuantPlan, r: &Regs, y: &[Vec<Zmm>], factor: &[Zmm]) {
    a.note("codes");
    let (inverse, zero) = (r.temp[0], r.temp[1]);
    load_arg!(a, r, x);
    load_arg!(a, r, inverse);
    emit_row_groups(a, plan.features, r.count, |a, rows| {
        a.vbroadcastss(zero, r.arg(offset_of!(TokenQuantArgs, zero)));
        for (row, y) in y[..rows].iter().enumerate() {
            a.vbroadcastss(inverse, ptr(r.inverse) + 4 * row as i32);
            for (v, (&y, &factor)) in y.iter().zip(factor).enumerate() {
                a.vmulps(y, inverse, element(r.x, row, v)); //          d = x[f] inverse[f]
                a.vfmadd213ps(y, factor, zero); //                      d 127 / max + 128
                a.vcvtps2dq(y, y);
            }
        }
        for &padding in y[rows..].iter().flatten() {
            a.vpxord(padding, padding, padding); //                     padding features are 0
        }
        let rows = EpilogueRegs::rows_from(ptr(r.panel), PANEL_ROW_BYTES);
        let regs = EpilogueRegs { params: ptr(r.inverse), rows, constants: r.constants, temps: &r.temp };
        emit_store_bytes(a, plan.layout, Sign::Unsigned, y, &regs, OutputLanes::WholeRow);
        dynasm!(a ; .arch x64 ; add Rq(r.panel), GROUP as i32 * PANEL_ROW_BYTES);
        emit_next(a, r);
    });
}

/// Row `row` of the group, tokens 16v..16v+16.
fn element(x: Gpr, row: usize, v: usize) -> Mem {
    ptr(x) + (row as i32 * F32_ROW_BYTES + v as i32 * VECTOR_BYTES)
}

fn emit_next(a: &mut Asm, r: &Regs) {
    dynasm!(a ; .arch x64 ; add Rq(r.x), GROUP as i32 * F32_ROW_BYTES ; add Rq(r.inverse), 4 * GROUP as i32);
}
