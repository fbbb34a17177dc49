//! The element-wise kernels as instructions. One call computes one tile.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, dynasm};
use lacuna_jit::{Asm, Code, Evex, Gpr, JitError, Mem, RegFile, Zmm, ptr};

use super::gelu::gelu_temps;
use super::kernel::QuantParams;
use super::plan::ElementwisePlan;
use crate::epilogue::{Accuracy, Constants, EpilogueRegs, OutputLanes, emit_activation, emit_store_bytes};
use crate::rows::{F32_ROW_BYTES, GROUP, PANEL_ROW_BYTES, VECTOR_BYTES, emit_by_vectors, emit_row_groups};
use crate::{Activation, Plan, VECTORS};

/// What the kernel is called with.
#[derive(Debug)]
#[repr(C)]
pub(super) struct ElementwiseArgs {
    /// The f32 tile; written in place unless a panel is.
    pub(super) x: *mut f32,
    /// The panel's tile, if one is written.
    pub(super) panel: *mut u8,
    /// Parameters of the first feature, if a panel is written.
    pub(super) params: *const QuantParams,
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
/// | temp, 13 | activation; scale and zero point; byte transpose |
struct Regs {
    file: RegFile,
    x: Gpr,
    panel: Gpr,
    params: Gpr,
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
            x: file.gpr("row of the f32 tile")?,
            panel: file.gpr("row of the panel")?,
            params: file.gpr("parameters of the feature")?,
            constants: file.gpr("constants")?,
            tokens: file.gpr("tokens")?,
            count: file.gpr("groups of four rows left")?,
            y: file.zmms(GROUP * VECTORS, "y[f mod 4][v]")?,
            temp: file.zmms(gelu_temps(VECTORS), "activation; scale and zero point; byte transpose")?,
            file,
        })
    }
}

macro_rules! load_arg {
    ($a:expr, $regs:expr, $field:ident) => {
        $a.load_arg($regs.$field, &$regs.file, offset_of!(ElementwiseArgs, $field))
    };
}

/// Generates the kernel.
pub(super) fn emit(plan: &ElementwisePlan) -> Result<Code, JitError> {
    let r = Regs::new()?;
    let mut a = Asm::new();
    a.prologue(&r.file);
    load_arg!(a, r, x);
    load_arg!(a, r, panel);
    load_arg!(a, r, params);
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

/// Up to four rows; the panel gets zeros for those that are missing.
fn emit_group(a: &mut Asm, plan: &ElementwisePlan, r: &Regs, y: &[Vec<Zmm>], rows: usize) {
    for (row, y) in y[..rows].iter().enumerate() {
        for (v, &y) in y.iter().enumerate() {
            a.vmovups(y, element(r.x, row, v));
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
    for (row, y) in y[..rows].iter().enumerate() {
        match plan.sink.store.codes() {
            Some(_) => emit_quantize(a, r, row, y),
            None => {
                for (v, &y) in y.iter().enumerate() {
                    a.vmovups_st(element(r.x, row, v), y);
                }
            }
        }
    }
    if let Some((layout, sign)) = plan.sink.store.codes() {
        for &padding in y[rows..].iter().flatten() {
            a.vpxord(padding, padding, padding); //             padding features are 0
        }
        let rows = EpilogueRegs::rows_from(ptr(r.panel), PANEL_ROW_BYTES);
        let regs = EpilogueRegs { params: ptr(r.params), rows, constants: r.constants, temps: &r.temp };
        emit_store_bytes(a, layout, sign, y, &regs, OutputLanes::WholeRow);
        dynasm!(a ; .arch x64
            ; add Rq(r.panel), GROUP as i32 * PANEL_ROW_BYTES
            ; add Rq(r.params), (GROUP * size_of::<QuantParams>()) as i32
        );
    }
    dynasm!(a ; .arch x64 ; add Rq(r.x), GROUP as i32 * F32_ROW_BYTES);
}

/// `y = round(y scale[f] + zero[f])` as s32.
fn emit_quantize(a: &mut Asm, r: &Regs, row: usize, y: &[Zmm]) {
    let param = |field: usize| ptr(r.params) + (row * size_of::<QuantParams>() + field) as i32;
    let (scale, zero) = (r.temp[0], r.temp[1]);
    a.vbroadcastss(scale, param(offset_of!(QuantParams, scale)));
    a.vbroadcastss(zero, param(offset_of!(QuantParams, zero)));
    for &y in y {
        a.vfmadd213ps(y, scale, zero); //                       q = y scale[f] + zero[f]
        a.vcvtps2dq(y, y);
    }
}

/// Row `row` of the group, tokens 16v..16v+16.
fn element(x: Gpr, row: usize, v: usize) -> Mem {
    ptr(x) + (row as i32 * F32_ROW_BYTES + v as i32 * VECTOR_BYTES)
}
