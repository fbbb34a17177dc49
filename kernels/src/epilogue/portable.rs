//! The epilogue in plain Rust: the same operations in the same order as the generated one.

use super::{Activation, Epilogue, RowParams, Store};
use crate::layout::lane_position;
use crate::{PanelLayout, Sign, TILE, math};

/// Where one row block of one tile goes.
pub(crate) enum BlockOutput<'a> {
    /// 256 bytes: four plain rows or one VNNI row.
    Bytes(&'a mut [u8]),
    /// Four rows of 64.
    F32(&'a mut [f32]),
}

/// Finishes `acc[row][token]` for the first `tokens` tokens of a tile.
#[inline(always)]
pub(crate) fn finish_block(
    epilogue: &Epilogue,
    acc: &[[i32; TILE]; 4],
    params: &[RowParams; 4],
    tokens: usize,
    out: BlockOutput<'_>,
) {
    let value = |row: usize, token: usize| {
        let p = &params[row];
        let y = (acc[row][token] as f32).mul_add(p.multiplier, p.addend);
        match epilogue.activation {
            Activation::Identity => y,
            Activation::Gelu if matches!(epilogue.store, Store::Bytes { .. }) => math::gelu_coarse(y),
            Activation::Gelu => math::gelu(y),
        }
    };
    match (epilogue.store, out) {
        (Store::F32 { residual }, BlockOutput::F32(out)) => {
            for row in 0..4 {
                for token in 0..tokens {
                    let y = value(row, token);
                    let out = &mut out[row * TILE + token];
                    *out = if residual { y + *out } else { y };
                }
            }
        }
        (Store::Bytes { layout, sign }, BlockOutput::Bytes(out)) => {
            for (row, p) in params.iter().enumerate() {
                for token in 0..tokens {
                    let y = match epilogue.activation {
                        Activation::Identity => value(row, token),
                        Activation::Gelu => value(row, token).mul_add(p.out_scale, p.out_zero),
                    };
                    let byte = match sign {
                        Sign::Unsigned => math::quantize_u8(y),
                        Sign::Signed => math::quantize_s8(y) as u8,
                    };
                    let position = match layout {
                        PanelLayout::Plain => row * TILE + lane_position(token),
                        PanelLayout::Vnni => token * 4 + row,
                    };
                    out[position] = byte;
                }
            }
        }
        // The wrapper pairs the buffer with the plan's store before any block is computed.
        (Store::F32 { .. }, BlockOutput::Bytes(_)) | (Store::Bytes { .. }, BlockOutput::F32(_)) => {
            unreachable!("output buffer of another store form")
        }
    }
}
