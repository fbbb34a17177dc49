//! The epilogue as instructions, for four output features by one to four vectors of 16 tokens.

use lacuna_jit::{Asm, Evex, Gpr, Isa, Mem, Zmm, ptr};

use super::activation::{Accuracy, GeluConstants, emit_activation};
use super::emit_fixed::{emit_bias, emit_fixed};
use super::store::{OutputLanes, emit_store_bytes};
use super::{Activation, Arithmetic, Epilogue, RowParams, Store};
use crate::LANES;
use crate::elementwise::gelu::gelu_coarse_temps;

/// Bytes of one vector.
pub(super) const VECTOR_BYTES: i32 = 64;
/// Bytes of one row's parameters.
const PARAM_BYTES: i32 = size_of::<RowParams>() as i32;

/// Read-only memory the generated epilogues point to.
#[repr(C, align(64))]
pub(crate) struct Constants {
    gelu: GeluConstants,
    /// 4x4 byte transpose within every 128-bit lane: byte `4 t + r` of the result is byte `4 r + t`.
    transpose: [u8; 64],
    gelu_tanh: GeluConstants,
}

impl Constants {
    pub(crate) const TABLE: &'static Constants =
        &Constants { gelu: GeluConstants::ERF, transpose: transpose_4x4(), gelu_tanh: GeluConstants::TANH };
    /// Offset of the byte transpose.
    pub(crate) const TRANSPOSE: i32 = std::mem::offset_of!(Constants, transpose) as i32;

    /// What an activation reads; only GELU reads anything.
    pub(super) const fn gelu(&self, activation: Activation) -> &GeluConstants {
        match activation {
            Activation::GeluTanh => &self.gelu_tanh,
            Activation::Identity | Activation::Relu | Activation::Gelu => &self.gelu,
        }
    }

    /// Offset of [`Constants::gelu`].
    pub(super) const fn gelu_offset(activation: Activation) -> i32 {
        let bytes = match activation {
            Activation::GeluTanh => std::mem::offset_of!(Constants, gelu_tanh),
            Activation::Identity | Activation::Relu | Activation::Gelu => std::mem::offset_of!(Constants, gelu),
        };
        bytes as i32
    }

    /// Offset of the table of [`emit_activation`].
    pub(crate) const fn table(activation: Activation, accuracy: Accuracy) -> i32 {
        Constants::gelu_offset(activation) + GeluConstants::offset(accuracy)
    }

    /// The address generated code is given.
    pub(crate) fn address() -> *const u8 {
        std::ptr::from_ref(Self::TABLE).cast()
    }
}

const fn transpose_4x4() -> [u8; 64] {
    let mut indices = [0; 64];
    let mut i = 0;
    while i < 64 {
        indices[i] = (i % 4 * 4 + i % 16 / 4) as u8;
        i += 1;
    }
    indices
}

/// Registers the epilogue reads and may change.
pub(crate) struct EpilogueRegs<'a> {
    /// This block row's record of [`super::BlockParams`].
    pub(crate) params: Mem,
    /// Output of each of the four rows, first computed vector (plain panels: start of the row). A VNNI panel has one row for all
    /// four, the first of these.
    pub(crate) rows: [Mem; 4],
    /// [`Constants::address`].
    pub(crate) constants: Gpr,
    /// At least 2 vector registers, with GELU [`gelu_coarse_temps`] of the vectors of a row and in 16-bit arithmetic 8.
    pub(crate) temps: &'a [Zmm],
}

impl EpilogueRegs<'_> {
    /// Four rows one behind the other, `row_bytes` apart.
    pub(crate) fn rows_from(first: Mem, row_bytes: i32) -> [Mem; 4] {
        std::array::from_fn(|row| first + row as i32 * row_bytes)
    }
}

/// What `acc[row][vector]`, four rows, starts at: 0, or in 16-bit arithmetic the bias of [`super::BlockParams`] at `params`. If
/// vectors consist of 2 or 4 `parts` that are summed before the epilogue, only the first part starts at the bias.
pub(crate) fn emit_start(a: &mut Asm, epilogue: &Epilogue, params: Mem, acc: &[Vec<Zmm>], parts: usize) {
    match epilogue.arithmetic {
        Arithmetic::I16 => emit_bias(a, params, acc, parts),
        Arithmetic::F32 => {
            for &zmm in acc.iter().flatten() {
                a.vpxord(zmm, zmm, zmm); //                   acc[m][v] = 0
            }
        }
    }
}

/// Finishes `acc[row][vector]`: four rows of equally many vectors, started by [`emit_start`]. Destroys `acc` and `temps`.
pub(crate) fn emit_epilogue(
    a: &mut Asm,
    isa: Isa,
    epilogue: &Epilogue,
    acc: &[Vec<Zmm>],
    regs: &EpilogueRegs<'_>,
    lanes: OutputLanes<'_>,
) {
    if let (Arithmetic::I16, Store::Bytes { layout, sign }) = (epilogue.arithmetic, epilogue.sink.store) {
        a.note(format!("epilogue {}: y = ((acc >> shift) multiplier) >> Q", epilogue.name()));
        emit_fixed(a, isa, epilogue.sink.activation, (layout, sign), acc, regs, lanes);
        return;
    }
    a.note(format!("epilogue {}: y = fma(acc, multiplier, addend)", epilogue.name()));
    let at_once = rows_at_once(epilogue, acc[0].len(), regs.temps.len());
    for (i, rows) in acc.chunks(at_once).enumerate() {
        emit_rows(a, epilogue, i * at_once, rows, regs);
    }
    match epilogue.sink.store {
        Store::Bytes { layout, sign } => emit_store_bytes(a, layout, sign, acc, regs, lanes),
        Store::F32 { residual } => emit_store_f32(a, residual, acc, regs),
        Store::Bf16 => unreachable!("plans refuse it"),
    }
}

/// How many rows go through the activation together: up to four vectors, which hide each other's latency.
fn rows_at_once(epilogue: &Epilogue, vectors: usize, temps: usize) -> usize {
    match epilogue.sink.activation {
        Activation::Identity | Activation::Relu => 1,
        Activation::Gelu | Activation::GeluTanh => {
            ((1..=4).rev().find(|&n| gelu_coarse_temps(n) <= temps).unwrap_or(1) / vectors).max(1)
        }
    }
}

/// Some rows from `first` on, up to what is stored: f32, or s32 for 8-bit output.
fn emit_rows(a: &mut Asm, epilogue: &Epilogue, first: usize, rows: &[Vec<Zmm>], regs: &EpilogueRegs<'_>) {
    let (scale, offset) = (regs.temps[0], regs.temps[1]);
    let to_bytes = matches!(epilogue.sink.store, Store::Bytes { .. });
    let param = |row: usize, field: usize| regs.params + (first + row) as i32 * PARAM_BYTES + field as i32;
    for (row, acc) in rows.iter().enumerate() {
        a.vbroadcastss(scale, param(row, std::mem::offset_of!(RowParams, multiplier)));
        a.vbroadcastss(offset, param(row, std::mem::offset_of!(RowParams, addend)));
        for &y in acc {
            a.vcvtdq2ps(y, y);
        }
        for &y in acc {
            a.vfmadd213ps(y, scale, offset); // y = acc * multiplier[m] + addend[m]
        }
    }
    if epilogue.sink.activation != Activation::Identity {
        let accuracy = if to_bytes { Accuracy::Bytes } else { Accuracy::Float };
        let table = ptr(regs.constants) + Constants::table(epilogue.sink.activation, accuracy);
        emit_activation(a, epilogue.sink.activation, accuracy, &rows.concat(), regs.temps, table);
    }
    if !to_bytes {
        return;
    }
    for (row, acc) in rows.iter().enumerate() {
        if epilogue.sink.activation != Activation::Identity {
            a.vbroadcastss(scale, param(row, std::mem::offset_of!(RowParams, out_scale)));
            a.vbroadcastss(offset, param(row, std::mem::offset_of!(RowParams, out_zero)));
            for &y in acc {
                a.vfmadd213ps(y, scale, offset); // y = y * out_scale[m] + out_zero[m]
            }
        }
        for &y in acc {
            a.vcvtps2dq(y, y);
        }
    }
}

fn emit_store_f32(a: &mut Asm, residual: bool, acc: &[Vec<Zmm>], regs: &EpilogueRegs<'_>) {
    a.note(if residual { "add to the f32 rows" } else { "store f32 rows" });
    for (&row, v) in regs.rows.iter().zip(acc) {
        for (i, &y) in v.iter().enumerate() {
            let out = row + i as i32 * VECTOR_BYTES;
            if residual {
                a.vaddps(y, y, out);
            }
            a.vmovups_st(out, y);
        }
    }
}

const _: () = assert!(VECTOR_BYTES as usize == 4 * LANES);
