//! What all queries of a head share: the key bias, and K in words.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, dynasm};
use lacuna_jit::{Asm, Scale, Vex, Ymm256, ptr};

use super::super::args::{AttentionArgs, HeadParams};
use super::super::plan::AttentionPlan;
use super::super::sizes::{KEY_PART_BYTES, KEYS, VNNI_ROW_BYTES};
use super::groups::{begin_groups, load_k_offset, next_group};
use super::product::Product;
use super::regs::Regs;
use crate::args::load_args;

/// `key_bias[j] = -q_zero * sum_d K[d][j]`, four keys at a time; keys past the end get a bias that masks them. Without `vpdpbusd`
/// also `key_words[group][step][part][j]`.
pub(super) fn emit_key_bias(a: &mut Asm<Ymm256>, plan: &AttentionPlan, r: &Regs) {
    let (sum, zero, ones) = (r.acc[0], r.acc[1], r.left[0]);
    let key: Vec<_> = r.right.clone();
    a.note("key bias: -q_zero * sum_d K[d][j]");
    load_args!(a, r, AttentionArgs { k: rows, key_bias: bias, key_words });
    dynasm!(a ; .arch x64 ; add Rq(r.rows), [Rq(r.head) + offset_of!(HeadParams, offset) as i32]);
    a.vpbroadcastd(zero, r.head_param(offset_of!(HeadParams, minus_q_zero)));
    match r.product {
        Product::Bytes => a.vpbroadcastd(ones, r.arg(offset_of!(AttentionArgs, ones))),
        Product::Words => a.vpbroadcastd(ones, r.arg(offset_of!(AttentionArgs, one_words))),
    }
    let group = begin_groups(a, r);
    load_k_offset(a, r);
    a.vpxor(sum, sum, sum);
    for step in 0..plan.steps() as i32 {
        a.vmovdqu_x(key[0], ptr(r.rows).index(r.at, Scale::X1) + step * VNNI_ROW_BYTES);
        r.product.split_right(a, &key);
        for (part, &key) in (0..).zip(&key) {
            if r.product == Product::Words {
                let words = ptr(r.key_words) + step * r.product.parts() as i32 * KEY_PART_BYTES;
                a.vmovdqu_x_st(words + part * KEY_PART_BYTES, key);
            }
            r.product.multiply_add(a, sum, ones, key, r.temp); // sum[j] += 1 . K[4 step..][j]
        }
    }
    a.vpmulld(sum, sum, zero);
    a.vmovdqu_x_st(ptr(r.bias), sum);
    dynasm!(a ; .arch x64 ; add Rq(r.bias), 4 * KEYS as i32);
    if r.product == Product::Words {
        dynasm!(a ; .arch x64 ; add Rq(r.key_words), plan.key_words_bytes(1) as i32);
    }
    next_group(a, r, group);
    a.vmovdqu_x(zero, r.arg(offset_of!(AttentionArgs, last_group_bias)));
    a.vpaddd(sum, sum, zero);
    a.vmovdqu_x_st(ptr(r.bias) - 4 * KEYS as i32, sum);
}
