//! The epilogue as instructions, for four output features by one to four vectors of 16 tokens.

use lacuna_jit::{Asm, Evex, Gpr, Mask, Mem, Zmm, ptr};

use super::{Activation, Epilogue, RowParams, Store};
use crate::elementwise::gelu::{GELU_COARSE_TABLE, GELU_TABLE, emit_gelu, emit_gelu_coarse, gelu_coarse_temps};
use crate::{LANES, PanelLayout, Sign, TILE};

/// Bytes of one vector.
const VECTOR_BYTES: i32 = 64;
/// Bytes of a row of a plain panel.
const PLAIN_ROW_BYTES: i32 = TILE as i32;
/// Bytes of a row of an f32 tile.
const F32_ROW_BYTES: i32 = 4 * TILE as i32;
/// Bytes of one row's parameters.
const PARAM_BYTES: i32 = size_of::<RowParams>() as i32;

/// Read-only memory the generated epilogues point to.
#[repr(C, align(64))]
pub(crate) struct Constants {
    gelu: [f32; GELU_TABLE.len()],
    gelu_coarse: [f32; GELU_COARSE_TABLE.len()],
    /// 4x4 byte transpose within every 128-bit lane: byte `4 t + r` of the result is byte `4 r + t`.
    transpose: [u8; 64],
}

impl Constants {
    pub(crate) const TABLE: &'static Constants =
        &Constants { gelu: GELU_TABLE, gelu_coarse: GELU_COARSE_TABLE, transpose: transpose_4x4() };
    const GELU: i32 = std::mem::offset_of!(Constants, gelu) as i32;
    const GELU_COARSE: i32 = std::mem::offset_of!(Constants, gelu_coarse) as i32;
    /// Offset of the byte transpose.
    pub(crate) const TRANSPOSE: i32 = std::mem::offset_of!(Constants, transpose) as i32;

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

/// Which part of a row of 8-bit output a store may write.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OutputLanes<'a> {
    /// All of the computed vectors, and the rest of a plain row: what is not computed is padding.
    WholeRow,
    /// Of a plain row these dwords only, one bit each.
    Dwords(Mask),
    /// Of a VNNI row these tokens only: a mask per computed vector, one bit per token.
    Tokens(&'a [Mask]),
}

/// Registers the epilogue reads and may change.
pub(crate) struct EpilogueRegs<'a> {
    /// `&[RowParams; 4]` of this row block.
    pub(crate) params: Mem,
    /// Output of this row block's first row, first computed vector (plain panels: start of the row).
    pub(crate) out: Mem,
    /// [`Constants::address`].
    pub(crate) constants: Gpr,
    /// At least 2 vector registers, with GELU [`gelu_coarse_temps`] of the vectors of a row.
    pub(crate) temps: &'a [Zmm],
}

/// Finishes `acc[row][vector]`: four rows of equally many vectors. Destroys `acc` and `temps`.
pub(crate) fn emit_epilogue(
    a: &mut Asm,
    epilogue: &Epilogue,
    acc: &[Vec<Zmm>],
    regs: &EpilogueRegs<'_>,
    lanes: OutputLanes<'_>,
) {
    a.note(format!("epilogue {}: y = fma(acc, multiplier, addend)", epilogue.name()));
    let at_once = rows_at_once(epilogue, acc[0].len(), regs.temps.len());
    for (i, rows) in acc.chunks(at_once).enumerate() {
        emit_rows(a, epilogue, i * at_once, rows, regs);
    }
    match epilogue.store {
        Store::Bytes { layout, sign } => emit_store_bytes(a, layout, sign, acc, regs, lanes),
        Store::F32 { residual } => emit_store_f32(a, residual, acc, regs),
    }
}

/// Packs and stores `acc[row][vector]`, four rows of s32. Destroys `acc`; of `regs` it uses `out`, `constants` and one of `temps`.
pub(crate) fn emit_store_bytes(
    a: &mut Asm,
    layout: PanelLayout,
    sign: Sign,
    acc: &[Vec<Zmm>],
    regs: &EpilogueRegs<'_>,
    lanes: OutputLanes<'_>,
) {
    match layout {
        PanelLayout::Plain => emit_store_plain(a, sign, acc, regs.out, lanes),
        PanelLayout::Vnni => emit_store_vnni(a, sign, acc, regs, lanes),
    }
}

/// How many rows go through the activation together: up to four vectors, which hide each other's latency.
fn rows_at_once(epilogue: &Epilogue, vectors: usize, temps: usize) -> usize {
    match epilogue.activation {
        Activation::Identity => 1,
        Activation::Gelu => ((1..=4).rev().find(|&n| gelu_coarse_temps(n) <= temps).unwrap_or(1) / vectors).max(1),
    }
}

/// Some rows from `first` on, up to what is stored: f32, or s32 for 8-bit output.
fn emit_rows(a: &mut Asm, epilogue: &Epilogue, first: usize, rows: &[Vec<Zmm>], regs: &EpilogueRegs<'_>) {
    let (scale, offset) = (regs.temps[0], regs.temps[1]);
    let to_bytes = matches!(epilogue.store, Store::Bytes { .. });
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
    if epilogue.activation == Activation::Gelu {
        let all = rows.concat();
        if to_bytes {
            emit_gelu_coarse(a, &all, regs.temps, ptr(regs.constants) + Constants::GELU_COARSE);
        } else {
            emit_gelu(a, &all, regs.temps, ptr(regs.constants) + Constants::GELU);
        }
    }
    if !to_bytes {
        return;
    }
    for (row, acc) in rows.iter().enumerate() {
        if epilogue.activation != Activation::Identity {
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

/// Four vectors of s32 pack into one plain row. With fewer, the packs repeat them so that every dword group holds its own.
fn emit_store_plain(a: &mut Asm, sign: Sign, acc: &[Vec<Zmm>], out: Mem, lanes: OutputLanes<'_>) {
    a.note("store plain rows");
    for (row, v) in acc.iter().enumerate() {
        let lo = v[0];
        a.vpackssdw(lo, v[0], v.get(1).copied().unwrap_or(v[0]));
        let upper = match v.get(2) {
            Some(&hi) => {
                a.vpackssdw(hi, hi, v.get(3).copied().unwrap_or(hi));
                hi
            }
            None => lo,
        };
        match sign {
            Sign::Unsigned => a.vpackuswb(lo, lo, upper),
            Sign::Signed => a.vpacksswb(lo, lo, upper),
        }
        let out = out + row as i32 * PLAIN_ROW_BYTES;
        match lanes {
            OutputLanes::Dwords(mask) => a.vmovdqu32_st(out.k(mask), lo),
            OutputLanes::WholeRow | OutputLanes::Tokens(_) => a.vmovdqu32_st(out, lo),
        }
    }
}

/// 16 tokens of four rows pack into 64 bytes row by row within each lane; a byte transpose makes them token by token.
fn emit_store_vnni(a: &mut Asm, sign: Sign, acc: &[Vec<Zmm>], regs: &EpilogueRegs<'_>, lanes: OutputLanes<'_>) {
    a.note("store VNNI row");
    let transpose = regs.temps[0];
    a.vmovdqu32(transpose, ptr(regs.constants) + Constants::TRANSPOSE);
    for v in 0..acc[0].len() {
        let [r0, r1, r2, r3] = [acc[0][v], acc[1][v], acc[2][v], acc[3][v]];
        a.vpackssdw(r0, r0, r1);
        a.vpackssdw(r2, r2, r3);
        match sign {
            Sign::Unsigned => a.vpackuswb(r0, r0, r2),
            Sign::Signed => a.vpacksswb(r0, r0, r2),
        }
        a.vpshufb(r0, r0, transpose);
        let out = regs.out + v as i32 * VECTOR_BYTES;
        match lanes {
            OutputLanes::Tokens(masks) => a.vmovdqu32_st(out.k(masks[v]), r0),
            OutputLanes::WholeRow | OutputLanes::Dwords(_) => a.vmovdqu32_st(out, r0),
        }
    }
}

fn emit_store_f32(a: &mut Asm, residual: bool, acc: &[Vec<Zmm>], regs: &EpilogueRegs<'_>) {
    a.note(if residual { "add to the f32 rows" } else { "store f32 rows" });
    for (row, v) in acc.iter().enumerate() {
        for (i, &y) in v.iter().enumerate() {
            let out = regs.out + row as i32 * F32_ROW_BYTES + i as i32 * VECTOR_BYTES;
            if residual {
                a.vaddps(y, y, out);
            }
            a.vmovups_st(out, y);
        }
    }
}

const _: () = assert!(VECTOR_BYTES as usize == 4 * LANES);
