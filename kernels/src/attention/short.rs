//! 16 queries of a sequence of at most 16 keys: scores and probabilities stay in registers, without a loop.

use std::mem::offset_of;

use lacuna_jit::{Asm, Evex, RmBcast, Scale, Zmm, ptr};

use super::args::AttentionArgs;
use super::exponential::emit_exp2_u8;
use super::groups::{emit_exp2_constants, load_k_offset, load_v_offset};
use super::plan::AttentionPlan;
use super::regs::Regs;
use super::sizes::{KEYS, VNNI_ROW_BYTES};
use super::store::{emit_reciprocal, emit_store};
use crate::TILE;
use crate::args::load_args;

/// One query chunk of one vector, of a sequence with `groups` groups of four keys.
pub(super) fn emit_chunk(a: &mut Asm, plan: &AttentionPlan, r: &Regs, groups: usize) {
    let scores: Vec<&[Zmm]> = r.acc.chunks(KEYS).take(groups).collect();
    emit_scores(a, plan, r, &scores);
    emit_probabilities(a, r, &scores);
    emit_output(a, plan, r, groups);
}

/// `S[j] = key_bias[j] + sum_d K[d][j] Q[d]` for all keys; the largest in `max[0]`.
fn emit_scores(a: &mut Asm, plan: &AttentionPlan, r: &Regs, scores: &[&[Zmm]]) {
    let groups = scores.len();
    a.note(format!("scores of 16 queries, {groups} groups of four keys"));
    load_args!(a, r, AttentionArgs { keys });
    for &score in scores.concat().iter() {
        a.vpxord(score, score, score);
    }
    for (group, scores) in scores.iter().enumerate() {
        load_k_offset(a, r, group);
        for step in 0..plan.steps() as i32 {
            let q = r.key[step as usize % r.key.len()];
            a.vmovdqu32(q, ptr(r.q) + step * VNNI_ROW_BYTES);
            for (j, &score) in scores.iter().enumerate() {
                let key = ptr(r.k).index(r.at, Scale::X1) + step * VNNI_ROW_BYTES + 4 * j as i32;
                a.vpdpbusd(score, q, key.bcast()); //           S[j] += K[4 step..][j] . Q[4 step..]
            }
        }
    }
    load_args!(a, r, AttentionArgs { key_bias: bias });
    let max = r.max[0];
    for (j, &score) in scores.concat().iter().enumerate() {
        a.vpaddd(score, score, (ptr(r.bias) + 4 * j as i32).bcast());
        if j == 0 {
            a.vmovdqa32(max, score);
        } else {
            a.vpmaxsd(max, max, score);
        }
    }
}

/// `p[group] = round(255 * 2^-((max - S[j]) * c))` of four keys; their sum in `sum[0]`.
fn emit_probabilities(a: &mut Asm, r: &Regs, scores: &[&[Zmm]]) {
    a.note("probabilities");
    let (max, sum, ones) = (r.max[0], r.sum[0], r.sum[1]);
    let unused = [&r.max[1..], &r.sum[2..]].concat(); // by one vector of queries
    let constants = emit_exp2_constants(a, r, &unused);
    a.vpbroadcastd(ones, r.arg(offset_of!(AttentionArgs, ones)));
    a.vpxord(sum, sum, sum);
    for (scores, &p) in scores.iter().zip(&r.p) {
        let x = [scores[0], scores[1], scores[2], scores[3]];
        emit_exp2_u8(a, p, x.map(RmBcast::Reg), max, &constants, x, &r.key);
        a.vpdpbusd(sum, p, ones);
    }
}

/// `O[d] = sum_j V[d][j] P[j] / sum`, requantised and stored, 16 features at a time.
fn emit_output(a: &mut Asm, plan: &AttentionPlan, r: &Regs, groups: usize) {
    emit_reciprocal(a, r, 1);
    let mut first = 0;
    while first < plan.head_size {
        let features = r.acc.len().min(plan.head_size - first);
        let acc: Vec<Vec<Zmm>> = r.acc[..features].iter().map(|&zmm| vec![zmm]).collect();
        a.note(format!("O of features {first} to {}", first + features - 1));
        for &zmm in acc.iter().flatten() {
            a.vpxord(zmm, zmm, zmm);
        }
        for (group, &p) in r.p[..groups].iter().enumerate() {
            load_v_offset(a, r, group);
            for (d, acc) in acc.iter().enumerate() {
                let value = ptr(r.v).index(r.at, Scale::X1) + ((first + d) * TILE) as i32;
                a.vpdpbusd(acc[0], p, value.bcast()); //        O[d] += V[d][4 keys] . P[4 keys]
            }
        }
        emit_store(a, plan, r, first, &acc);
        first += features;
    }
}
