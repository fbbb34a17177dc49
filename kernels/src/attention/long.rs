//! A query chunk of a sequence of any length: scores and probabilities go through memory, four keys at a time.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, dynasm};
use lacuna_jit::{Asm, Evex, RmBcast, Scale, Zmm, ptr};

use super::args::AttentionArgs;
use super::exponential::{EXP2_CONSTANTS, EXP2_TEMPS, emit_exp2_u8};
use super::groups::{begin_groups, emit_exp2_constants, load_k_offset, load_v_offset, next_group};
use super::plan::AttentionPlan;
use super::regs::Regs;
use super::sizes::{KEYS, VNNI_ROW_BYTES};
use super::store::{emit_reciprocal, emit_store};
use crate::args::load_args;
use crate::layout::VECTOR_BYTES;
use crate::{LANES, TILE};

/// One query chunk of `vectors` vectors.
pub(super) fn emit_chunk(a: &mut Asm, plan: &AttentionPlan, r: &Regs, vectors: usize) {
    emit_scores(a, plan, r, vectors);
    emit_probabilities(a, r, vectors);
    emit_output(a, plan, r, vectors);
}

/// `S[j][v] = key_bias[j] + sum_d K[d][j] Q[d][v]` for all keys, kept in `scores`; the largest per query in `max`.
fn emit_scores(a: &mut Asm, plan: &AttentionPlan, r: &Regs, vectors: usize) {
    let acc: Vec<&[Zmm]> = r.acc.chunks(vectors).take(KEYS).collect();
    a.note(format!("scores of {} queries", vectors * LANES));
    load_args!(a, r, AttentionArgs { key_bias: bias, scores });
    for &max in &r.max[..vectors] {
        a.vpbroadcastd(max, r.arg(offset_of!(AttentionArgs, lowest)));
    }
    let group = begin_groups(a, r);
    load_k_offset(a, r, 0);
    for (j, acc) in acc.iter().enumerate() {
        a.vpbroadcastd(acc[0], ptr(r.bias) + 4 * j as i32); //  S[j][v] = key_bias[j]
        for &other in &acc[1..] {
            a.vmovdqa32(other, acc[0]);
        }
    }
    for step in 0..plan.steps() as i32 {
        for (v, &q) in r.query[..vectors].iter().enumerate() {
            a.vmovdqu32(q, ptr(r.q) + step * VNNI_ROW_BYTES + v as i32 * VECTOR_BYTES); // Q[4 step..][16v..]
        }
        for (j, acc) in acc.iter().enumerate() {
            let key = ptr(r.k).index(r.at, Scale::X1) + step * VNNI_ROW_BYTES + 4 * j as i32;
            if vectors == 1 {
                a.vpdpbusd(acc[0], r.query[0], key.bcast());
                continue;
            }
            a.vpbroadcastd(r.key[j], key); //                   K[4 step..][j]
            for (&acc, &q) in acc.iter().zip(&r.query) {
                a.vpdpbusd(acc, q, r.key[j]);
            }
        }
    }
    for (j, acc) in acc.iter().enumerate() {
        for (v, &score) in acc.iter().enumerate() {
            a.vpmaxsd(r.max[v], r.max[v], score);
            a.vmovdqu32_st(ptr(r.scores) + (j * vectors + v) as i32 * VECTOR_BYTES, score);
        }
    }
    dynasm!(a
        ; .arch x64
        ; add Rq(r.bias), 4 * KEYS as i32
        ; add Rq(r.scores), (KEYS * vectors) as i32 * VECTOR_BYTES
    );
    next_group(a, r, group);
}

/// `P[j][v] = round(255 * 2^-((max[v] - S[j][v]) * c))`, four keys to a dword per query, and their sums.
fn emit_probabilities(a: &mut Asm, r: &Regs, vectors: usize) {
    let (x, rest) = r.acc.split_at(KEYS);
    let (temp, rest) = rest.split_at(EXP2_TEMPS);
    let (ones, more) = (r.query[0], &r.query[1..]);
    a.note("probabilities");
    let constants = emit_exp2_constants(a, r, &[rest, more].concat()[..EXP2_CONSTANTS]);
    a.vpbroadcastd(ones, r.arg(offset_of!(AttentionArgs, ones)));
    for &sum in &r.sum[..vectors] {
        a.vpxord(sum, sum, sum);
    }
    load_args!(a, r, AttentionArgs { scores, probabilities });
    let group = begin_groups(a, r);
    for v in 0..vectors {
        let scores = std::array::from_fn(|j| RmBcast::Mem(ptr(r.scores) + (j * vectors + v) as i32 * VECTOR_BYTES));
        let p = r.group_p[v];
        emit_exp2_u8(a, p, scores, r.max[v], &constants, [x[0], x[1], x[2], x[3]], temp);
        a.vpdpbusd(r.sum[v], p, ones);
        a.vmovdqu32_st(ptr(r.probabilities) + v as i32 * VECTOR_BYTES, p); // P[0..4][v]
    }
    dynasm!(a
        ; .arch x64
        ; add Rq(r.scores), (KEYS * vectors) as i32 * VECTOR_BYTES
        ; add Rq(r.probabilities), vectors as i32 * VECTOR_BYTES
    );
    next_group(a, r, group);
}

/// `O[d][v] = sum_j V[d][j] P[j][v] / sum[v]`, requantised and stored, some features at a time.
fn emit_output(a: &mut Asm, plan: &AttentionPlan, r: &Regs, vectors: usize) {
    emit_reciprocal(a, r, vectors);
    let at_once = r.acc.len() / vectors / 4 * 4;
    let mut first = 0;
    while first < plan.head_size {
        let features = at_once.min(plan.head_size - first);
        let acc: Vec<Vec<Zmm>> = r.acc.chunks(vectors).take(features).map(<[Zmm]>::to_vec).collect();
        emit_weighted_values(a, r, first, &acc);
        emit_store(a, plan, r, first, &acc);
        first += features;
    }
}

/// `O[d][v] = sum_j V[d][j] P[j][v]` for the features from `first` on.
fn emit_weighted_values(a: &mut Asm, r: &Regs, first: usize, acc: &[Vec<Zmm>]) {
    let vectors = acc[0].len();
    a.note(format!("O of features {first} to {}", first + acc.len() - 1));
    for &zmm in acc.iter().flatten() {
        a.vpxord(zmm, zmm, zmm);
    }
    load_args!(a, r, AttentionArgs { probabilities });
    let group = begin_groups(a, r);
    load_v_offset(a, r, 0);
    for (v, &p) in r.p[..vectors].iter().enumerate() {
        a.vmovdqu32(p, ptr(r.probabilities) + v as i32 * VECTOR_BYTES); // P[4 keys][16v..]
    }
    for (d, acc) in acc.iter().enumerate() {
        let value = ptr(r.v).index(r.at, Scale::X1) + ((first + d) * TILE) as i32;
        if vectors == 1 {
            a.vpdpbusd(acc[0], r.p[0], value.bcast());
            continue;
        }
        let broadcast = r.value[d % r.value.len()];
        a.vpbroadcastd(broadcast, value); //                    V[d][4 keys]
        for (&acc, &p) in acc.iter().zip(&r.p) {
            a.vpdpbusd(acc, p, broadcast);
        }
    }
    dynasm!(a ; .arch x64 ; add Rq(r.probabilities), vectors as i32 * VECTOR_BYTES);
    next_group(a, r, group);
}
