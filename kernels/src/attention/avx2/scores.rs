//! Scores of 16 queries, four keys at a time.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, dynasm};
use lacuna_jit::{Asm, Mem, Scale, Vex, Ymm256, ptr};

use super::super::args::{AttentionArgs, HeadParams};
use super::super::plan::AttentionPlan;
use super::super::sizes::{KEY_PART_BYTES, KEYS, VNNI_ROW_BYTES};
use super::groups::{begin_groups, load_k_offset, next_group};
use super::product::Product;
use super::regs::{BYTES, Regs, VECTORS};
use crate::args::load_args;

/// Bytes of the scores of one key group.
pub(super) const GROUP_BYTES: i32 = (KEYS * VECTORS) as i32 * BYTES;

/// `S[j][v] = key_bias[j] + sum_d K[d][j] Q[d][v]` for all keys, kept in `scores`; the largest per query in `max`.
pub(super) fn emit_scores(a: &mut Asm<Ymm256>, plan: &AttentionPlan, r: &Regs) {
    a.note("scores of 16 queries");
    match r.product {
        Product::Bytes => {
            load_args!(a, r, AttentionArgs { k: rows });
            dynasm!(a ; .arch x64 ; add Rq(r.rows), [Rq(r.head) + offset_of!(HeadParams, offset) as i32]);
        }
        Product::Words => {
            load_args!(a, r, AttentionArgs { key_words: rows });
        }
    }
    load_args!(a, r, AttentionArgs { key_bias: bias, scores });
    for &max in &r.max {
        a.vpbroadcastd(max, r.arg(offset_of!(AttentionArgs, lowest)));
    }
    let group = begin_groups(a, r);
    if r.product == Product::Bytes {
        load_k_offset(a, r);
    }
    for (j, acc) in (0..).zip(r.acc.chunks(VECTORS)) {
        a.vpbroadcastd(acc[0], ptr(r.bias) + 4 * j); //                S[j][v] = key_bias[j]
        a.vmovdqa(acc[1], acc[0]);
    }
    let key = r.right[0];
    for step in 0..plan.steps() as i32 {
        for (v, parts) in (0..).zip(r.left_parts()) {
            r.product.load_left(a, parts, ptr(r.q) + step * VNNI_ROW_BYTES + v * BYTES); // Q[4 step..][8 v..]
        }
        for (j, acc) in (0..).zip(r.acc.chunks(VECTORS)) {
            for part in 0..r.product.parts() {
                a.vpbroadcastd(key, key_part(r, step, part as i32) + 4 * j); // K[4 step..][j]
                for (&acc, q) in acc.iter().zip(r.left_parts()) {
                    r.product.multiply_add(a, acc, q[part], key, r.temp);
                }
            }
        }
    }
    for (j, acc) in (0..).zip(r.acc.chunks(VECTORS)) {
        for (v, (&score, &max)) in (0..).zip(acc.iter().zip(&r.max)) {
            a.vpmaxsd(max, max, score);
            a.vmovdqu_st(ptr(r.scores) + (j * VECTORS as i32 + v) * BYTES, score);
        }
    }
    dynasm!(a ; .arch x64 ; add Rq(r.bias), 4 * KEYS as i32 ; add Rq(r.scores), GROUP_BYTES);
    if r.product == Product::Words {
        dynasm!(a ; .arch x64 ; add Rq(r.rows), plan.key_words_bytes(1) as i32);
    }
    next_group(a, r, group);
}

/// Dwords of four features of the group's keys: bytes, or words of one part.
fn key_part(r: &Regs, step: i32, part: i32) -> Mem {
    match r.product {
        Product::Bytes => ptr(r.rows).index(r.at, Scale::X1) + step * VNNI_ROW_BYTES,
        Product::Words => ptr(r.rows) + (step * r.product.parts() as i32 + part) * KEY_PART_BYTES,
    }
}
