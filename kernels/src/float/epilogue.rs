//! What happens to the sums before they leave the registers: an activation if asked for, then a store.

use half::bf16;
use lacuna_jit::{Asm, Evex, Gpr, Mem, Zmm, ptr};

use super::layout::bf16_lane_position;
use super::twin::round_to_bf16;
use crate::elementwise::gelu::{FineTable, GELU_TABLE, GELU_TANH_TABLE};
use crate::epilogue::{Activation, Precision, emit_activation};
use crate::{LANES, TILE};

/// Where and as what the results are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FloatStore {
    /// f32 tile.
    F32 {
        /// Whether the results are added to what the tile holds (the residual stream) instead of replacing it.
        residual: bool,
    },
    /// bf16 panel, rounded by [`round_to_bf16`](super::round_to_bf16).
    Bf16,
}

impl FloatStore {
    /// Bytes of one output element.
    pub(super) const fn element_bytes(self) -> usize {
        match self {
            FloatStore::F32 { .. } => 4,
            FloatStore::Bf16 => 2,
        }
    }
}

/// Activation and store of a product of floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct FloatEpilogue {
    /// Applied to the f32 result, in f32 precision for either store: [`crate::math::gelu`], not its coarse form.
    pub activation: Activation,
    /// Output form.
    pub store: FloatStore,
}

impl FloatEpilogue {
    /// f32 output, added to the residual stream if `residual`.
    pub const fn f32(residual: bool) -> FloatEpilogue {
        FloatEpilogue { activation: Activation::Identity, store: FloatStore::F32 { residual } }
    }

    /// bf16 output.
    pub const fn bf16() -> FloatEpilogue {
        FloatEpilogue { activation: Activation::Identity, store: FloatStore::Bf16 }
    }

    /// The same with `activation` before the store.
    pub const fn with(self, activation: Activation) -> FloatEpilogue {
        FloatEpilogue { activation, ..self }
    }

    /// Every epilogue there is.
    pub fn all() -> Vec<FloatEpilogue> {
        let plain = [FloatEpilogue::f32(false), FloatEpilogue::f32(true), FloatEpilogue::bf16()];
        Activation::ALL.into_iter().flat_map(|activation| plain.map(|epilogue| epilogue.with(activation))).collect()
    }

    /// The name used in kernel names: `f32`, `gelu-f32-residual`, `bf16`.
    pub fn name(&self) -> String {
        let store = match self.store {
            FloatStore::F32 { residual: false } => "f32",
            FloatStore::F32 { residual: true } => "f32-residual",
            FloatStore::Bf16 => "bf16",
        };
        match self.activation {
            Activation::Identity => store.to_owned(),
            activation => format!("{}-{store}", activation.name()),
        }
    }
}

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

/// Finishes `acc[row][vector]`, all of one strip, into rows from `out` on. Destroys `acc` and `temps`.
pub(super) fn emit_epilogue(
    a: &mut Asm,
    epilogue: &FloatEpilogue,
    acc: &[Vec<Zmm>],
    out: Mem,
    constants: Gpr,
    temps: &[Zmm],
) {
    if epilogue.activation != Activation::Identity {
        a.note(epilogue.activation.name());
        let table = ptr(constants) + Constants::table(epilogue.activation);
        for vectors in acc.concat().chunks(temps.len() / 2) {
            emit_activation(a, epilogue.activation, Precision::Float, vectors, temps, table);
        }
    }
    match epilogue.store {
        FloatStore::F32 { residual } => emit_store_f32(a, residual, acc, out),
        FloatStore::Bf16 => emit_store_bf16(a, acc, out, constants, temps[0]),
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

/// Two vectors of 16 tokens make half a row; a last single one fills both places: what follows its tokens is padding.
fn emit_store_bf16(a: &mut Asm, acc: &[Vec<Zmm>], out: Mem, constants: Gpr, interleave: Zmm) {
    a.note("round to bf16, store panel rows");
    a.vmovdqu32(interleave, ptr(constants) + std::mem::offset_of!(Constants, interleave) as i32);
    for (row, v) in acc.iter().enumerate() {
        for (i, pair) in v.chunks(2).enumerate() {
            let (low, high) = (pair[0], pair[pair.len() - 1]);
            a.vcvtne2ps2bf16(low, high, low); //              bf16 of low's 16 tokens, then of high's
            a.vpermq(low, interleave, low); //                four of low, four of high, ..
            a.vmovdqu32_st(out + (2 * (row * TILE + i * 2 * LANES)) as i32, low);
        }
    }
}

/// Where the rows of one block row go in plain Rust.
pub(super) enum RowsOut<'a> {
    F32(&'a mut [f32]),
    Bf16(&'a mut [bf16]),
}

/// Finishes the sums of output `row` of a block row; `first` is the token of `sums[0]`.
#[inline(always)]
pub(super) fn finish_row(epilogue: &FloatEpilogue, sums: &[f32], row: usize, first: usize, out: &mut RowsOut<'_>) {
    for (token, &sum) in (first..).zip(sums) {
        let y = epilogue.activation.apply(Precision::Float, sum);
        match out {
            RowsOut::F32(out) => {
                let out = &mut out[row * TILE + token];
                *out = if epilogue.store == (FloatStore::F32 { residual: true }) { y + *out } else { y };
            }
            RowsOut::Bf16(out) => out[row * TILE + bf16_lane_position(token)] = round_to_bf16(y),
        }
    }
}
