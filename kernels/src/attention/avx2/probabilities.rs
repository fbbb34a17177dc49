//! Probabilities of 16 queries, four keys at a time.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, dynasm};
use lacuna_jit::{Asm, Vex, Ymm256, Zmm, ptr};

use super::super::args::AttentionArgs;
use super::super::parabolas::Parabolas;
use super::super::sizes::KEYS;
use super::exponential::Exponential;
use super::groups::{begin_groups, next_group};
use super::product::Product;
use super::regs::{BYTES, Regs, VECTORS};
use super::scores::GROUP_BYTES;
use crate::args::load_args;

/// `P[j][v] = round(255 * 2^-((max[v] - S[j][v]) * c))`, four keys to a dword per query or the words of two parts, and 1 / their sums.
pub(super) fn emit_probabilities(a: &mut Asm<Ymm256>, r: &Regs) {
    let (temps, sums) = r.acc.split_at(r.acc.len() - VECTORS);
    let x: [Zmm; KEYS] = std::array::from_fn(|j| temps[j]);
    let temp = [temps[2], temps[3], temps[4], temps[5]];
    let parts = r.product.parts();
    a.note("probabilities");
    load_args!(a, r, AttentionArgs { scores, probabilities, parabolas });
    let exponential = Exponential::load(a, r);
    for &sum in sums {
        a.vpxor(sum, sum, sum);
    }
    let group = begin_groups(a, r);
    for (v, (&sum, &max)) in sums.iter().zip(&r.max).enumerate() {
        for (j, &x) in x.iter().enumerate() {
            a.vpsubd(x, max, ptr(r.scores) + (j * VECTORS + v) as i32 * BYTES); // how far below the largest
        }
        exponential.emit_octaves(a, &x);
        let [even, odd, ..] = x;
        exponential.emit(a, r, even, temp);
        exponential.emit(a, r, odd, temp);
        let ones = match r.product {
            Product::Bytes => {
                a.vpsllw_i(odd, odd, 8);
                a.vpor(even, even, odd); //                            P[0..4] as bytes
                r.constant(offset_of!(Parabolas, one_bytes))
            }
            Product::Words => r.constant(offset_of!(Parabolas, one_words)),
        };
        for (part, &p) in [even, odd][..parts].iter().enumerate() {
            a.vmovdqu_st(ptr(r.probabilities) + (v * parts + part) as i32 * BYTES, p); // P[0..4][v]
            r.product.multiply_add(a, sum, p, ones, temp[0]);
        }
    }
    dynasm!(a
        ; .arch x64
        ; add Rq(r.scores), GROUP_BYTES
        ; add Rq(r.probabilities), (VECTORS * parts) as i32 * BYTES
    );
    next_group(a, r, group);
    emit_reciprocal(a, r, sums);
}

/// `reciprocal[v] = 1 / sum[v]`, where the scores were.
fn emit_reciprocal(a: &mut Asm<Ymm256>, r: &Regs, sums: &[Zmm]) {
    a.note("1 / sum of P");
    let one = r.acc[0];
    load_args!(a, r, AttentionArgs { scores: reciprocal });
    a.vbroadcastss(one, r.arg(offset_of!(AttentionArgs, one)));
    for (v, &sum) in (0..).zip(sums) {
        a.vcvtdq2ps(sum, sum);
        a.vdivps(sum, one, sum);
        a.vmovups_st(ptr(r.reciprocal) + v * BYTES, sum);
    }
}
