//! The epilogue in plain Rust: the same operations in the same order as the generated one.

use super::activation::Accuracy;
use super::constants::Constants;
use super::desc::Epilogue;
use super::fixed::{
    FAR_SHIFT, FRACTION_BITS, FixedBlock, FixedGeluBlock, FixedReluBlock, GeluTables, multiply_high, multiply_rounded,
};
use super::params::BlockParam;
use super::row::RowParams;
use crate::rows::{quantize, store_panel_row};
use crate::{Activation, Output, Sign, Store, TILE};

/// Finishes `acc[row][column]`, plain sums without any bias, for the first `columns` columns of a tile. `out` are four plain rows, one VNNI
/// row, or four f32 rows.
#[inline(always)]
pub(crate) fn finish_block(
    epilogue: &Epilogue,
    acc: &[[i32; TILE]; 4],
    params: BlockParam<'_>,
    columns: usize,
    out: Output<'_>,
) {
    match (epilogue.sink.store, params, out) {
        (Store::F32 { residual }, BlockParam::Float(rows), Output::F32(out)) => {
            for ((acc, p), out) in acc.iter().zip(rows).zip(out.chunks_exact_mut(TILE)) {
                for (&acc, out) in acc.iter().zip(out).take(columns) {
                    let y = epilogue.sink.activation.apply(Accuracy::Float, linear(acc, p));
                    *out = if residual { y + *out } else { y };
                }
            }
        }
        (Store::Bytes { layout, sign }, params, Output::Bytes(out)) => {
            for (row, acc) in acc.iter().enumerate() {
                let bytes = match params {
                    BlockParam::Float(rows) => float_row(acc, &rows[row], epilogue.sink.activation, sign),
                    BlockParam::Fixed(block) => fixed_row(acc, block, row, sign),
                    BlockParam::FixedRelu(block) => fixed_relu_row(acc, block, row, sign),
                    BlockParam::FixedGelu(block) => {
                        fixed_gelu_row(acc, block, row, sign, &Constants::TABLE.gelu(epilogue.sink.activation).fixed)
                    }
                };
                store_panel_row(layout, out, row, &bytes, columns);
            }
        }
        // The wrapper pairs the buffer with the plan's store; plans refuse bf16, and other arithmetic than f32 for f32 output.
        (Store::F32 { .. } | Store::Bytes { .. } | Store::Bf16, ..) => unreachable!("an output of another kind"),
    }
}

#[inline(always)]
fn linear(acc: i32, p: &RowParams) -> f32 {
    (acc as f32).mul_add(p.multiplier, p.addend)
}

#[inline(always)]
fn float_row(acc: &[i32; TILE], p: &RowParams, activation: Activation, sign: Sign) -> [u8; TILE] {
    acc.map(|acc| {
        let y = activation.apply(Accuracy::Bytes, linear(acc, p));
        let y = if activation == Activation::Identity { y } else { y.mul_add(p.out_scale, p.out_zero) };
        quantize(sign, y)
    })
}

/// t, before it is shifted right by its fraction bits.
#[inline(always)]
fn fixed_linear(acc: i32, block: &FixedBlock, row: usize) -> i16 {
    let a = acc.wrapping_add(block.bias[row]) >> block.shift[row];
    let w = a.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
    multiply_rounded(w, block.multiplier[row][0])
}

#[inline(always)]
fn saturate(y: i16, sign: Sign) -> u8 {
    let (least, largest) = sign.range();
    y.clamp(least, largest) as u8
}

#[inline(always)]
fn fixed_row(acc: &[i32; TILE], block: &FixedBlock, row: usize, sign: Sign) -> [u8; TILE] {
    acc.map(|acc| saturate(fixed_linear(acc, block, row) >> FRACTION_BITS, sign))
}

#[inline(always)]
fn fixed_relu_row(acc: &[i32; TILE], block: &FixedReluBlock, row: usize, sign: Sign) -> [u8; TILE] {
    acc.map(|acc| saturate(fixed_linear(acc, &block.linear, row).max(block.zero[row][0]) >> FRACTION_BITS, sign))
}

#[inline(always)]
fn fixed_gelu_row(
    acc: &[i32; TILE],
    block: &FixedGeluBlock,
    row: usize,
    sign: Sign,
    tables: &GeluTables,
) -> [u8; TILE] {
    let (zero, index, look_up) = (block.relu.zero[row][0], block.index[row][0], block.look_up[row][0]);
    acc.map(|acc| {
        let t = fixed_linear(acc, &block.relu.linear, row);
        let d = t.abs_diff(zero);
        let p = multiply_high(d, index);
        let g = tables.near[usize::from(p.min(127))].wrapping_add(tables.far[usize::from((p >> FAR_SHIFT).min(127))]);
        let h = multiply_high(u16::from(g) << 8, look_up);
        let y = t.max(zero).wrapping_sub(h as i16) >> block.fraction_bits[row][0];
        saturate(y, sign)
    })
}
