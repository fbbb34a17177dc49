//! What the generated code does with its arguments, in plain Rust: the same addresses, the same wrapping integers. Tests run it on
//! machines that cannot run the generated code.

use super::args::AttentionArgs;
use super::batch::SequenceTables;
use super::plan::AttentionPlan;
use crate::layout::{lane_position, padded};
use crate::math::{Falloff, exp2_u8, quantize_u8};
use crate::{LANES, TILE};

/// One call. `out` is a plain panel of `features` features from the first row of the first head on.
///
/// # Safety
/// - `args` are such as the generated code may be called with.
pub(super) unsafe fn call(
    plan: &AttentionPlan,
    args: &AttentionArgs,
    tables: &SequenceTables,
    features: usize,
    out: &mut [u8],
) {
    let (d, tile_bytes) = (plan.head_size, padded(features) * TILE);
    // SAFETY: all pointers are dereferenced where the generated code does.
    unsafe {
        let heads = std::slice::from_raw_parts(args.heads, args.heads_end.offset_from_unsigned(args.heads));
        let keys = std::slice::from_raw_parts(args.keys, args.groups);
        let chunks = std::slice::from_raw_parts(args.chunks, args.chunks_end.offset_from_unsigned(args.chunks));
        for head in heads {
            let (q, k, v) =
                (args.q.add(head.offset as usize), args.k.add(head.offset as usize), args.v.add(head.offset as usize));
            let key = |j: usize, f: usize| {
                let at = keys[j / 4].k as usize + f / 4 * 4 * TILE + j % 4 * 4 + f % 4;
                i32::from(*k.add(at) as i8)
            };
            let value = |j: usize, f: usize| i32::from(*v.add(keys[j / 4].v as usize + f * TILE + j % 4) as i8);
            let count = 4 * keys.len();
            let bias: Vec<i32> = (0..count)
                .map(|j| {
                    let sum: i32 = (0..d).map(|f| key(j, f)).sum();
                    let last = if j / 4 + 1 == keys.len() { args.last_group_bias[j % 4] } else { 0 };
                    sum.wrapping_mul(head.minus_q_zero).wrapping_add(last)
                })
                .collect();
            for (chunk, lane) in chunks.iter().flat_map(|c| (0..c.vectors as usize * LANES).map(move |lane| (c, lane)))
            {
                if chunk.tokens[lane / LANES] >> (lane % LANES) & 1 == 0 {
                    continue;
                }
                let query = |f: usize| i32::from(*q.add(chunk.q as usize + f / 4 * 4 * TILE + lane * 4 + f % 4));
                let scores: Vec<i32> =
                    (0..count).map(|j| (0..d).fold(bias[j], |sum, f| sum.wrapping_add(query(f) * key(j, f)))).collect();
                let max = scores.iter().copied().fold(args.lowest, i32::max);
                let falloff = Falloff { multiplier: head.multiplier, limit: head.limit };
                let weight = |score: i32| i32::from(exp2_u8(max.wrapping_sub(score) as u32, falloff));
                let p: Vec<i32> = scores.into_iter().map(weight).collect();
                let len = tables.sequence.len;
                assert!(p[len..].iter().all(|&p| p == 0), "a key past the end has a weight");
                let reciprocal = args.one / p.iter().sum::<i32>() as f32;
                let (tile, within) = (chunk.q as usize / tile_bytes, chunk.q as usize % tile_bytes / 4 + lane);
                for f in 0..d {
                    let sum: i32 = (0..count).map(|j| p[j] * value(j, f)).sum();
                    let y = (sum as f32 * reciprocal).mul_add(*head.out_scale.add(f), args.out_zero);
                    let row = head.offset as usize + f * TILE;
                    out[tile * tile_bytes + row + lane_position(within)] = quantize_u8(y);
                }
            }
        }
    }
}
