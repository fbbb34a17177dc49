//! What happens to the sums before they leave the registers: an activation if asked for, then a store.

use lacuna_jit::{Asm, Evex, Gpr, Mem, Zmm, ptr};

use super::layout::bf16_lane_position;
use super::twin::round_to_bf16;
use crate::epilogue::{Accuracy, FineTable, GELU_TABLE, GELU_TANH_TABLE, emit_activation};
use crate::{Activation, LANES, Output, Sink, Store, TILE};

/// Read-only memory the generated epilogues point to.
#[repr(C, align(64))]
pub(super) struct Constants {
    gelu: FineTable,
    /// Quadwords of two vectors of 16 bf16 in turn: the order of [`bf16_lane_position`].
    interleave: [u64; 8],
    gelu_tanh: FineTable,
}

impl Constants {
    const TABLE: &'static Constants =
        &Constants { gelu: GELU_TABLE, interleave: [0, 4, 1, 5, 2, 6, 3, 7], gelu_tanh: GELU_TANH_TABLE };

    /// Offset of the table of [`emit_activation`], which only GELU reads.
    const fn table(activation: Activation) -> i32 {
        let bytes = match activation {
            Activation::GeluTanh => std::mem::offset_of!(Constants, gelu_tanh),
            Activation::Identity | Activation::Relu | Activation::Gelu => std::mem::offset_of!(Constants, gelu),
        };
        bytes as i32
    }

    /// The address generated code is given.
    pub(super) fn address() -> *const u8 {
        std::ptr::from_ref(Self::TABLE).cast()
    }
}

/// Finishes `acc[row][vector]`, all of one row block, into rows from `out` on. Destroys `acc` and `temps`.
pub(super) fn emit_epilogue(a: &mut Asm, sink: &Sink, acc: &[Vec<Zmm>], out: Mem, constants: Gpr, temps: &[Zmm]) {
    if sink.activation != Activation::Identity {
        a.note(sink.activation.name());
        let table = ptr(constants) + Constants::table(sink.activation);
        for vectors in acc.concat().chunks(temps.len() / 2) {
            emit_activation(a, sink.activation, Accuracy::Float, vectors, temps, table);
        }
    }
    match sink.store {
        Store::F32 { residual } => emit_store_f32(a, residual, acc, out),
        Store::Bf16 => emit_store_bf16(a, acc, out, constants, temps[0]),
        Store::Bytes { .. } => unreachable!("plans refuse it"),
    }
}

fn emit_store_f32(a: &mut Asm, residual: bool, acc: &[Vec<Zmm>], out: Mem) {
    a.note(if residual { "add to the f32 rows" } else { "store f32 rows" });
    for (row, v) in acc.iter().enumerate() {
        for (i, &y) in v.iter().enumerate() {
            let out = out + (4 * (row * TILE + i * LANES)) as i32;
            if residual {
                a.vaddps(y, y, out);
            }
            a.vmovups_st(out, y);
        }
    }
}

/// Two vectors of 16 columns make half a row; a last single one fills both places: what follows its columns is padding.
fn emit_store_bf16(a: &mut Asm, acc: &[Vec<Zmm>], out: Mem, constants: Gpr, interleave: Zmm) {
    a.note("round to bf16, store panel rows");
    a.vmovdqu32(interleave, ptr(constants) + std::mem::offset_of!(Constants, interleave) as i32);
    for (row, v) in acc.iter().enumerate() {
        for (i, pair) in v.chunks(2).enumerate() {
            let (low, high) = (pair[0], pair[pair.len() - 1]);
            a.vcvtne2ps2bf16(low, high, low); //              bf16 of low's 16 columns, then of high's
            a.vpermq(low, interleave, low); //                four of low, four of high, ..
            a.vmovdqu32_st(out + (2 * (row * TILE + i * 2 * LANES)) as i32, low);
        }
    }
}

/// Finishes the sums of output `row` of a block row, whose rows are `out`; `first` is the column of `sums[0]`.
#[inline(always)]
pub(super) fn finish_row(sink: &Sink, sums: &[f32], row: usize, first: usize, out: &mut Output<'_>) {
    for (column, &sum) in (first..).zip(sums) {
        let y = sink.activation.apply(Accuracy::Float, sum);
        match out {
            Output::F32(out) => {
                let out = &mut out[row * TILE + column];
                *out = if sink.store == (Store::F32 { residual: true }) { y + *out } else { y };
            }
            Output::Bf16(out) => out[row * TILE + bf16_lane_position(column)] = round_to_bf16(y),
            Output::Bytes(_) => unreachable!("plans refuse it"),
        }
    }
}
