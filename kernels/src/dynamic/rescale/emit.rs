//! The kernel as instructions. One call computes one tile.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, dynasm};
use lacuna_jit::{Asm, Code, Evex, Gpr, JitError, Mem, RegFile, Zmm, ptr};

use super::desc::TokenRescalePlan;
use super::kernel::RescaleParams;
use crate::elementwise::gelu::gelu_temps;
use crate::epilogue::{Accuracy, Constants, EpilogueRegs, OutputLanes, emit_activation, emit_store_bytes};
use crate::rows::{F32_ROW_BYTES, GROUP, PANEL_ROW_BYTES, VECTOR_BYTES, emit_by_vectors, emit_row_groups};
use crate::{Activation, Plan, Store, VECTORS};

/// What the kernel is called with.
#[derive(Debug)]
#[repr(C)]
pub(super) struct TokenRescaleArgs {
    /// The f32 tile of sums; written in place if nothing else is.
    pub(super) t: *mut f32,
    /// The tile that is written beside: of the residual stream, or of the panel.
    pub(super) out: *mut u8,
    /// Parameters of the first feature.
    pub(super) params: *const RescaleParams,
    /// Scale of the tile's first token.
    pub(super) scales: *const f32,
    /// [`crate::epilogue::Constants::address`].
    pub(super) constants: *const u8,
    /// Tokens of this tile, 1..=64.
    pub(super) tokens: usize,
}

/// REGISTER LAYOUT, W = vectors of 16 tokens
///
/// | registers | role |
/// | --- | --- |
/// | y, 4 W of 16 | `y[f mod 4][v]`: tokens 16v..16v+16, then packed |
/// | temp, 13 | bias; activation; scale and zero point; byte transpose |
struct Regs {
    file: RegFile,
    t: Gpr,
    out: Gpr,
    params: Gpr,
    scales: Gpr,
    constants: Gpr,
    tokens: Gpr,
    count: Gpr,
    y: Vec<Zmm>,
    temp: Vec<Zmm>,
}

impl Regs {
    fn new() -> Result<Regs, JitError> {
        let mut file = RegFile::new();
        Ok(Regs {
            t: file.gpr("row of sums")?,
            out: file.gpr("row of the residual stream or of the panel")?,
            params: file.gpr("parameters of the feature")?,
            scales: file.gpr("scales of the tokens")?,
            constants: file.gpr("constants")?,
            tokens: file.gpr("tokens")?,
            count: file.gpr("groups of four rows left")?,
            y: file.zmms(GROUP * VECTORS, "y[f mod 4][v]")?,
            temp: file.zmms(gelu_temps(VECTORS), "bias; activation; scale and zero point; byte transpose")?,
            file,
        })
    }
}

macro_rules! load_arg {
    ($a:expr, $regs:expr, $field:ident) => {
        $a.load_arg($regs.$field, &$regs.file, offset_of!(TokenRescaleArgs, $field))
    };
}

/// Generates the kernel.
pub(super) fn emit(plan: &TokenRescalePlan) -> Result<Code, JitError> {
    let r = Regs::new()?;
    let mut a = Asm::new();
    a.prologue(&r.file);
    load_arg!(a, r, t);
    load_arg!(a, r, out);
    load_arg!(a, r, params);
    load_arg!(a, r, scales);
    load_arg!(a, r, constants);
    load_arg!(a, r, tokens);
    emit_by_vectors(&mut a, r.tokens, |a, vectors| {
        let y: Vec<Vec<Zmm>> = r.y.chunks(VECTORS).map(|row| row[..vectors].to_vec()).collect();
        a.note(format!("rows of {vectors} vectors of tokens"));
        emit_row_groups(a, plan.features, r.count, |a, rows| emit_group(a, plan, &r, &y, rows));
    });
    a.epilogue(&r.file);
    a.finish(plan.name(), &r.file)
}

/// Up to four rows; a panel gets zeros for those that are missing.
fn emit_group(a: &mut Asm, plan: &TokenRescalePlan, r: &Regs, y: &[Vec<Zmm>], rows: usize) {
    let bias = r.temp[0];
    for (row, y) in y[..rows].iter().enumerate() {
        a.vbroadcastss(bias, param(r, row, offset_of!(RescaleParams, bias)));
        for (v, &y) in y.iter().enumerate() {
            a.vmovups(y, element(r.t, row, v));
            a.vfmadd132ps(y, bias, ptr(r.scales) + v as i32 * VECTOR_BYTES); // y = t scale[n] + bias[m]
        }
    }
    let activation = plan.sink.activation;
    if activation != Activation::Identity {
        let table = ptr(r.constants) + Constants::table(activation, Accuracy::Float);
        // Four vectors at a time, of however many rows: their steps hide each other's latency.
        for vectors in y[..rows].concat().chunks(VECTORS) {
            emit_activation(a, activation, Accuracy::Float, vectors, &r.temp, table);
        }
    }
    match plan.sink.store {
        Store::F32 { residual: false } => emit_store(a, r.t, &y[..rows]),
        Store::F32 { residual: true } => {
            for (row, y) in y[..rows].iter().enumerate() {
                for (v, &y) in y.iter().enumerate() {
                    a.vaddps(y, y, element(r.out, row, v)); //  x + y
                }
            }
            emit_store(a, r.out, &y[..rows]);
            dynasm!(a ; .arch x64 ; add Rq(r.out), GROUP as i32 * F32_ROW_BYTES);
        }
        Store::Bytes { layout, sign } => {
            for (row, y) in y[..rows].iter().enumerate() {
                emit_quantize(a, r, row, y);
            }
            for &padding in y[rows..].iter().flatten() {
                a.vpxord(padding, padding, padding); //         padding features are 0
            }
            let rows = EpilogueRegs::rows_from(ptr(r.out), PANEL_ROW_BYTES);
            let regs = EpilogueRegs { params: ptr(r.params), rows, constants: r.constants, temps: &r.temp };
            emit_store_bytes(a, layout, sign, y, &regs, OutputLanes::WholeRow);
            dynasm!(a ; .arch x64 ; add Rq(r.out), GROUP as i32 * PANEL_ROW_BYTES);
        }
        Store::Bf16 => unreachable!("plans refuse it"),
    }
    dynasm!(a ; .arch x64
        ; add Rq(r.t), GROUP as i32 * F32_ROW_BYTES
        ; add Rq(r.params), (GROUP * size_of::<RescaleParams>()) as i32
    );
}

fn emit_store(a: &mut Asm, to: Gpr, y: &[Vec<Zmm>]) {
    for (row, y) in y.iter().enumerate() {
        for (v, &y) in y.iter().enumerate() {
            a.vmovups_st(element(to, row, v), y);
        }
    }
}

/// `y = round(y out_scale[m] + out_zero[m])` as s32.
fn emit_quantize(a: &mut Asm, r: &Regs, row: usize, y: &[Zmm]) {
    let (scale, zero) = (r.temp[0], r.temp[1]);
    a.vbroadcastss(scale, param(r, row, offset_of!(RescaleParams, out_scale)));
    a.vbroadcastss(zero, param(r, row, offset_of!(RescaleParams, out_zero)));
    for &y in y {
        a.vfmadd213ps(y, scale, zero);
        a.vcvtps2dq(y, y);
    }
}

fn param(r: &Regs, row: usize, field: usize) -> Mem {
    ptr(r.params) + (row * size_of::<RescaleParams>() + field) as i32
}

/// Row `row` of the group, tokens 16v..16v+16.
fn element(x: Gpr, row: usize, v: usize) -> Mem {
    ptr(x) + (row as i32 * F32_ROW_BYTES + v as i32 * VECTOR_BYTES)
}
