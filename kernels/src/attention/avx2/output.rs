//! Outputs of 16 queries, four features at a time.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Scale, Vex, Ymm256, ptr};

use super::super::args::{AttentionArgs, HeadParams};
use super::super::plan::AttentionPlan;
use super::groups::{begin_groups, load_v_offset, next_group};
use super::regs::{BYTES, Regs, VECTORS};
use super::store::{emit_requantize, emit_store};
use crate::TILE;
use crate::args::load_args;

/// Features that are computed together.
pub(super) const FEATURES: usize = 4;
/// Bytes of their rows: four plain ones, or one VNNI row.
const ROWS_BYTES: i32 = (FEATURES * TILE) as i32;

/// `O[d][v] = sum_j V[d][j] P[j][v] / sum[v]`, requantised and stored.
pub(super) fn emit_output(a: &mut Asm<Ymm256>, plan: &AttentionPlan, r: &Regs) {
    let block = a.new_dynamic_label();
    a.note("O of four features");
    load_args!(a, r, AttentionArgs { v: rows });
    dynasm!(a
        ; .arch x64
        ; add Rq(r.rows), [Rq(r.head) + offset_of!(HeadParams, offset) as i32]
        ; mov Rq(r.out_scale), [Rq(r.head) + offset_of!(HeadParams, out_scale) as i32]
        ; mov Rq(r.out_rows), Rq(r.out)
        ; mov Rd(r.blocks), (plan.head_size / FEATURES) as i32
        ; =>block
    );
    emit_weighted_values(a, r);
    emit_requantize(a, r);
    emit_store(a, plan, r);
    dynasm!(a
        ; .arch x64
        ; add Rq(r.rows), ROWS_BYTES
        ; add Rq(r.out_rows), ROWS_BYTES
        ; add Rq(r.out_scale), (FEATURES * size_of::<f32>()) as i32
        ; dec Rd(r.blocks)
        ; jnz =>block
    );
}

/// `O[d][v] = sum_j V[d][j] P[j][v]`.
fn emit_weighted_values(a: &mut Asm<Ymm256>, r: &Regs) {
    let parts = r.product.parts();
    for &acc in &r.acc {
        a.vpxor(acc, acc, acc);
    }
    load_args!(a, r, AttentionArgs { probabilities });
    let group = begin_groups(a, r);
    load_v_offset(a, r);
    for (i, &p) in (0..).zip(&r.left[..VECTORS * parts]) {
        a.vmovdqu(p, ptr(r.probabilities) + i * BYTES); //             P[4 keys][8 v..]
    }
    for (d, acc) in (0..).zip(r.acc.chunks(VECTORS)) {
        a.vpbroadcastd(r.right[0], ptr(r.rows).index(r.at, Scale::X1) + d * TILE as i32); // V[d][4 keys]
        r.product.split_right(a, &r.right);
        for (part, &value) in r.right.iter().enumerate() {
            for (&acc, p) in acc.iter().zip(r.left_parts()) {
                r.product.multiply_add(a, acc, p[part], value, r.temp);
            }
        }
    }
    dynasm!(a ; .arch x64 ; add Rq(r.probabilities), (VECTORS * parts) as i32 * BYTES);
    next_group(a, r, group);
}
