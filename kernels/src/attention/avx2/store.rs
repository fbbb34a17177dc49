//! Normalisation, requantisation and stores of four features of 16 queries.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Vex, Ymm256, Zmm, ptr};

use super::super::args::AttentionArgs;
use super::super::plan::AttentionPlan;
use super::regs::{BYTES, Regs, VECTORS};
use crate::args::load_args;
use crate::epilogue::{Constants, emit_pack};
use crate::layout::lane_position;
use crate::{PanelLayout, Sign, TILE};

/// Tokens of one 128-bit lane, which are stored together or not at all.
const TOKENS: usize = 4;
/// `vpermq`: the 128-bit lanes in the other order.
const SWAP: u8 = 0b0100_1110;
/// `vpshufd`: the next dword of the lane first.
const ROTATE: u8 = 0b00_11_10_01;

/// `acc = round(O[d][v] / sum[v] * out_scale[d] + out_zero)`.
pub(super) fn emit_requantize(a: &mut Asm<Ymm256>, r: &Regs) {
    let (zero, scale) = (r.left[0], r.left[1]);
    a.vbroadcastss(zero, r.arg(offset_of!(AttentionArgs, out_zero)));
    for (d, acc) in (0..).zip(r.acc.chunks(VECTORS)) {
        a.vbroadcastss(scale, ptr(r.out_scale) + 4 * d);
        for (v, &y) in (0..).zip(acc) {
            a.vcvtdq2ps(y, y);
            a.vmulps(y, y, ptr(r.reciprocal) + v * BYTES);
            a.vfmadd213ps(y, scale, zero);
            a.vcvtps2dq(y, y);
        }
    }
}

/// Packs `acc[d][v]` to bytes and stores the tokens that belong to the sequence. Destroys `acc` and `right`.
pub(super) fn emit_store(a: &mut Asm<Ymm256>, plan: &AttentionPlan, r: &Regs) {
    a.note("store tokens of the sequence");
    let (acc, other) = (&r.acc, r.right[0]);
    if plan.output == PanelLayout::Vnni || plan.sign() != Sign::Unsigned {
        load_args!(a, r, AttentionArgs { constants });
    }
    for v in 0..VECTORS {
        let bytes = acc[v];
        a.vpackssdw(acc[v], acc[v], acc[VECTORS + v]);
        a.vpackssdw(acc[2 * VECTORS + v], acc[2 * VECTORS + v], acc[3 * VECTORS + v]);
        // In each lane four tokens, feature by feature.
        emit_pack(a, plan.sign(), r.constants, bytes, acc[2 * VECTORS + v]);
        if plan.output == PanelLayout::Vnni {
            a.vpshufb(bytes, bytes, ptr(r.constants) + Constants::TRANSPOSE); // token by token
        }
        a.vpermq(other, bytes, SWAP);
        for (lane, tokens) in [bytes, other].into_iter().enumerate() {
            emit_store_tokens(a, plan, r, (2 * v + lane) * TOKENS, tokens);
        }
    }
}

/// Stores the lower lane of `bytes`, the tokens from `first` on, if they belong to the sequence. Destroys `bytes`.
fn emit_store_tokens(a: &mut Asm<Ymm256>, plan: &AttentionPlan, r: &Regs, first: usize, bytes: Zmm) {
    let skip = a.new_dynamic_label();
    dynasm!(a ; .arch x64 ; test BYTE [Rq(r.tokens) + (first / 8) as i32], 1 << (first % 8) ; jz =>skip);
    match plan.output {
        PanelLayout::Plain => {
            for d in 0..4 {
                if d > 0 {
                    a.vpshufd(bytes, bytes, ROTATE);
                }
                a.vmovd_x_st(ptr(r.out_rows) + d * TILE as i32 + lane_position(first) as i32, bytes);
            }
        }
        PanelLayout::Vnni => a.vmovdqu_x_st(ptr(r.out_rows) + 4 * first as i32, bytes),
    }
    dynasm!(a ; .arch x64 ; =>skip);
}
