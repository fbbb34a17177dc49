//! The epilogue as instructions, for four output features by one to four vectors of columns.

use lacuna_jit::{Isa, Mem, Zmm, ptr};

use super::activation::{Accuracy, emit_activation};
use super::constants::Constants;
use super::desc::{Arithmetic, Epilogue};
use super::emit_fixed::{emit_bias, emit_fixed};
use super::gelu::gelu_temps;
use super::pack::OutputLanes;
use super::regs::EpilogueRegs;
use super::row::RowParams;
use super::store::emit_store_bytes;
use super::verbs::Verbs;
use crate::layout::VECTOR_BYTES;
use crate::{Activation, Store};

/// Bytes of one row's parameters.
const PARAM_BYTES: i32 = size_of::<RowParams>() as i32;

/// What `acc[row][vector]`, four rows, starts at: 0, or in 16-bit arithmetic the bias of [`super::BlockParams`] at `params`. If
/// vectors consist of 2 or 4 `parts` that are summed before the epilogue, only the first part starts at the bias.
pub(crate) fn emit_start(a: &mut impl Verbs, epilogue: &Epilogue, params: Mem, acc: &[Vec<Zmm>], parts: usize) {
    match epilogue.arithmetic {
        Arithmetic::I16 => emit_bias(a, params, acc, parts),
        Arithmetic::F32 => {
            for &zmm in acc.iter().flatten() {
                a.vpxor(zmm, zmm, zmm); //                    acc[m][v] = 0
            }
        }
    }
}

/// Finishes `acc[row][vector]`: four rows of equally many vectors, started by [`emit_start`]. Destroys `acc` and `temps`.
pub(crate) fn emit_epilogue(
    a: &mut impl Verbs,
    isa: Isa,
    epilogue: &Epilogue,
    acc: &[Vec<Zmm>],
    regs: &EpilogueRegs<'_>,
    lanes: OutputLanes<'_>,
) {
    if let (Arithmetic::I16, Store::Bytes { layout, sign }) = (epilogue.arithmetic, epilogue.sink.store) {
        a.remark(format!("epilogue {}: y = ((acc >> shift) multiplier) >> Q", epilogue.name()));
        emit_fixed(a, isa, epilogue.sink.activation, (layout, sign), acc, regs, lanes);
        return;
    }
    a.remark(format!("epilogue {}: y = fma(acc, multiplier, addend)", epilogue.name()));
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
            ((1..=4).rev().find(|&n| gelu_temps(n) <= temps).unwrap_or(1) / vectors).max(1)
        }
    }
}

/// Some rows from `first` on, up to what is stored: f32, or s32 for 8-bit output.
fn emit_rows(a: &mut impl Verbs, epilogue: &Epilogue, first: usize, rows: &[Vec<Zmm>], regs: &EpilogueRegs<'_>) {
    let (multiplier, addend) = (regs.temps[0], regs.temps[1]);
    let (out_scale, out_zero) = (regs.temps[0], regs.temps[1]); // once the linear part is done
    let to_bytes = matches!(epilogue.sink.store, Store::Bytes { .. });
    let param = |row: usize, field: usize| regs.params + (first + row) as i32 * PARAM_BYTES + field as i32;
    for (row, acc) in rows.iter().enumerate() {
        a.vbroadcastss(multiplier, param(row, std::mem::offset_of!(RowParams, multiplier)));
        a.vbroadcastss(addend, param(row, std::mem::offset_of!(RowParams, addend)));
        for &y in acc {
            a.vcvtdq2ps(y, y);
        }
        for &y in acc {
            a.vfmadd213ps(y, multiplier, addend); // y = acc * multiplier[m] + addend[m]
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
            a.vbroadcastss(out_scale, param(row, std::mem::offset_of!(RowParams, out_scale)));
            a.vbroadcastss(out_zero, param(row, std::mem::offset_of!(RowParams, out_zero)));
            for &y in acc {
                a.vfmadd213ps(y, out_scale, out_zero); // y = y * out_scale[m] + out_zero[m]
            }
        }
        for &y in acc {
            a.vcvtps2dq(y, y);
        }
    }
}

fn emit_store_f32(a: &mut impl Verbs, residual: bool, acc: &[Vec<Zmm>], regs: &EpilogueRegs<'_>) {
    a.remark(if residual { "add to the f32 rows" } else { "store f32 rows" });
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
