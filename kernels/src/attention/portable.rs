//! Attention in plain Rust over the same layouts, tables and operations as the generated code.

use std::cell::RefCell;

use super::batch::SequenceTables;
use super::plan::AttentionPlan;
use crate::layout::lane_position;
use crate::math::{Falloff, exp2_u8};
use crate::rows::quantize;
use crate::{PanelLayout, TILE};

/// What the kernel needs of one head; slices start at the head's first row in the first tile.
pub(super) struct Head<'a> {
    pub(super) q: &'a [u8],
    pub(super) k: &'a [u8],
    pub(super) v: &'a [u8],
    pub(super) q_zero: i32,
    pub(super) falloff: Falloff,
    pub(super) out_scale: &'a [f32],
    pub(super) out_zero: f32,
}

/// Operands and results of one sequence of one head, as rows without gaps.
#[derive(Default)]
struct Scratch {
    /// `[len][d]`
    keys: Vec<i8>,
    /// `[len][d]`
    values: Vec<i8>,
    /// `[d]`
    query: Vec<i32>,
    /// `[len]`
    scores: Vec<i32>,
    /// `[len]`
    probabilities: Vec<u8>,
    /// `[d]`
    sums: Vec<i32>,
}

thread_local! {
    /// The same memory for every call, so that calls allocate nothing once it is large enough.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// One sequence of one head; `store(offset, byte)` writes the output relative to the head's first row in the first tile.
pub(super) fn sequence(
    plan: &AttentionPlan,
    tables: &SequenceTables,
    tile_bytes: usize,
    head: &Head<'_>,
    store: impl FnMut(usize, u8),
) {
    SCRATCH.with_borrow_mut(|scratch| sequence_in(scratch, plan, tables, tile_bytes, head, store));
}

fn sequence_in(
    scratch: &mut Scratch,
    plan: &AttentionPlan,
    tables: &SequenceTables,
    tile_bytes: usize,
    head: &Head<'_>,
    mut store: impl FnMut(usize, u8),
) {
    let (d, len, start) = (plan.head_size, tables.sequence.len, tables.sequence.start);
    let vnni = |token: usize, feature: usize| {
        token / TILE * tile_bytes + feature / 4 * (4 * TILE) + token % TILE * 4 + feature % 4
    };
    let plain = |token: usize, feature: usize| token / TILE * tile_bytes + feature * TILE + lane_position(token % TILE);
    let Scratch { keys, values, query, scores, probabilities, sums } = scratch;
    let rows = || (0..len).flat_map(|j| (0..d).map(move |f| (j, f)));
    keys.clear();
    keys.extend(rows().map(|(j, f)| head.k[vnni(start + j, f)] as i8));
    values.clear();
    values.extend(rows().map(|(j, f)| head.v[plain(start + j, f)] as i8));
    query.resize(d, 0);
    scores.resize(len, 0);
    probabilities.resize(len, 0);
    sums.resize(d, 0);
    for i in 0..len {
        query.iter_mut().enumerate().for_each(|(f, q)| *q = i32::from(head.q[vnni(start + i, f)]) - head.q_zero);
        for (score, key) in scores.iter_mut().zip(keys.chunks_exact(d)) {
            *score = query.iter().zip(key).map(|(&q, &k)| q * i32::from(k)).sum();
        }
        let max = scores.iter().copied().max().unwrap_or(0);
        for (p, &score) in probabilities.iter_mut().zip(&*scores) {
            *p = exp2_u8(max.abs_diff(score), head.falloff);
        }
        let total: i32 = probabilities.iter().map(|&p| i32::from(p)).sum();
        let reciprocal = 1.0 / total as f32;
        sums.fill(0);
        for (&p, value) in probabilities.iter().zip(values.chunks_exact(d)) {
            sums.iter_mut().zip(value).for_each(|(sum, &v)| *sum += i32::from(p) * i32::from(v));
        }
        for (f, &sum) in sums.iter().enumerate() {
            let y = (sum as f32 * reciprocal).mul_add(head.out_scale[f], head.out_zero);
            let offset = match plan.output {
                PanelLayout::Plain => plain(start + i, f),
                PanelLayout::Vnni => vnni(start + i, f),
            };
            store(offset, quantize(plan.sign(), y));
        }
    }
}
