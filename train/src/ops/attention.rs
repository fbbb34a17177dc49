//! Softmax attention, sequence by sequence and head by head.
//!
//! A sequence's columns of Q, K and V are copied to matrices `[hidden][columns]` with room for whole vectors. Of each head, with i the
//! query and j the key, and vectors along the underlined index:
//!
//! ```text
//! S[j][i]  = sum_d K[d][j] Q[d][i] / sqrt(d)      P = softmax of S down the keys j       O[d][i]  = sum_j V[d][j] P[j][i]
//! dP[j][i] = sum_d V[d][j] dO[d][i]               dV[d][j] = sum_i dO[d][i] P'[i][j]     (P' is P transposed)
//! dS[j][i] = P[j][i] (dP[j][i] - sum_j P[j][i] dP[j][i]) / sqrt(d)
//! dQ[d][i] = sum_j K[d][j] dS[j][i]               dK[d][j] = sum_i Q[d][i] dS'[i][j]
//! ```

use std::ops::Range;

use lacuna_kernels::Parallel;

use super::columns::{SharedColumns, gather};
use super::math::exp;
use super::small::{LANES, Left, product};
use crate::batch::Batch;
use crate::cpu::multiversion;
use crate::error::check_size;
use crate::rounding::NEAREST;
use crate::tiles::Tiles;
use crate::{Error, Result};

/// What the backward pass of attention needs besides Q, K and V.
#[derive(Debug, Clone, Default)]
pub struct AttentionSaved {
    /// P of every sequence and head, `[head][key][columns]` one after the other.
    probabilities: Vec<f32>,
    /// Where each sequence's begin, and the total.
    offsets: Vec<usize>,
}

/// Columns with which a sequence's matrices are stored.
fn stored(tokens: usize) -> usize {
    tokens.next_multiple_of(LANES)
}

/// A part of [`AttentionSaved::probabilities`] that one task writes.
struct Parts<'a>(Vec<std::sync::Mutex<&'a mut [f32]>>);

impl<'a> Parts<'a> {
    fn new(mut data: &'a mut [f32], offsets: &[usize]) -> Parts<'a> {
        let mut parts = Vec::with_capacity(offsets.len());
        for pair in offsets.windows(2) {
            let (part, rest) = data.split_at_mut(pair[1] - pair[0]);
            parts.push(std::sync::Mutex::new(part));
            data = rest;
        }
        Parts(parts)
    }
}

fn check(heads: usize, batch: &Batch, tensors: &[&Tiles]) -> Result<usize> {
    let features = tensors[0].features();
    if heads == 0 || !features.is_multiple_of(heads) {
        let (found, expected) = (heads.to_string(), "a divisor of the number of features");
        return Err(Error::Setting { setting: "number of heads", found, expected });
    }
    for tensor in tensors {
        check_size("features of attention", tensor.features(), features)?;
        check_size("columns of attention", tensor.columns(), batch.tokens())?;
    }
    Ok(features / heads)
}

/// `out = softmax(Q K / sqrt(d)) V` per sequence and head. With `codes`, `exp(S - max)` is rounded to multiples of 1/255 before it is
/// divided by the sum, as the int8 model has it.
///
/// # Shapes
/// `q`, `k`, `v` and `out` are hidden x tokens; head h has the features from `h d` on, d = hidden / heads.
///
/// # Errors
/// [`Error::Size`] for other shapes, [`Error::Setting`] if `heads` does not divide the features.
pub fn attention(
    heads: usize,
    batch: &Batch,
    [q, k, v]: [&Tiles; 3],
    codes: bool,
    out: &mut Tiles,
    saved: &mut AttentionSaved,
) -> Result<()> {
    let size = check(heads, batch, &[q, k, v])?;
    let hidden = q.features();
    out.reshape(hidden, batch.tokens());
    out.clear_padding();
    saved.offsets.clear();
    saved.offsets.push(0);
    for range in batch.ranges() {
        let end = saved.offsets[saved.offsets.len() - 1] + heads * range.len() * stored(range.len());
        saved.offsets.push(end);
    }
    saved.probabilities.resize(saved.offsets[batch.sequences()], 0.0);
    let parts = Parts::new(&mut saved.probabilities, &saved.offsets);
    let shared = SharedColumns::new(out);
    let scale = 1.0 / (size as f32).sqrt();
    Parallel::Rayon.for_each(batch.sequences(), |i| {
        let range = &batch.ranges()[i];
        let (tokens, columns) = (range.len(), stored(range.len()));
        let mut scratch = vec![0.0f32; 4 * hidden * columns];
        let (inputs, o) = scratch.split_at_mut(3 * hidden * columns);
        for (rows, tensor) in inputs.chunks_exact_mut(hidden * columns).zip([q, k, v]) {
            gather(tensor, range, rows, columns);
        }
        // Nobody else locks the part of this sequence, and a panic elsewhere leaves it usable.
        let mut part = parts.0[i].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for (head, p) in part.chunks_exact_mut(tokens * columns).enumerate() {
            let rows = head * size * columns..(head + 1) * size * columns;
            let [q, k, v] = [0, 1, 2].map(|i| &inputs[i * hidden * columns..][rows.clone()]);
            product(by_key(k, tokens, size, columns), q, columns, p);
            softmax(p, columns, scale, codes);
            product(by_feature(v, tokens, size, columns), p, columns, &mut o[rows]);
        }
        // SAFETY: the ranges of sequences are disjoint, and each has one task.
        unsafe { shared.scatter(range, o, columns) };
    });
    Ok(())
}

/// `[d][columns]` as left operand with a row per token.
fn by_key(data: &[f32], tokens: usize, size: usize, columns: usize) -> Left<'_> {
    Left { data, rows: tokens, depth: size, row_stride: 1, depth_stride: columns }
}

/// `[d][columns]` as left operand with a row per feature.
fn by_feature(data: &[f32], tokens: usize, size: usize, columns: usize) -> Left<'_> {
    Left { data, rows: size, depth: tokens, row_stride: columns, depth_stride: 1 }
}

/// The gradient of [`attention`]: from `dout` those of q, k and v.
///
/// # Shapes
/// `[dq, dk, dv]` take the shape of `dout`, which is that of the output.
///
/// # Errors
/// Those of [`attention`]; [`Error::Size`] if the forward pass was of another batch.
pub fn attention_backward(
    heads: usize,
    batch: &Batch,
    [q, k, v]: [&Tiles; 3],
    saved: &AttentionSaved,
    dout: &Tiles,
    gradients: [&mut Tiles; 3],
) -> Result<()> {
    let size = check(heads, batch, &[q, k, v, dout])?;
    check_size("saved sequences of attention", saved.offsets.len(), batch.sequences() + 1)?;
    let hidden = q.features();
    let shared = gradients.map(|tiles| {
        tiles.reshape(hidden, batch.tokens());
        tiles.clear_padding();
        SharedColumns::new(tiles)
    });
    let scale = 1.0 / (size as f32).sqrt();
    Parallel::Rayon.for_each(batch.sequences(), |i| {
        let range: &Range<usize> = &batch.ranges()[i];
        let (tokens, columns) = (range.len(), stored(range.len()));
        let mut scratch = vec![0.0f32; 7 * hidden * columns + 2 * columns * columns];
        let (inputs, rest) = scratch.split_at_mut(4 * hidden * columns);
        let (outputs, rest) = rest.split_at_mut(3 * hidden * columns);
        let (ds, turned) = rest.split_at_mut(columns * columns);
        for (rows, tensor) in inputs.chunks_exact_mut(hidden * columns).zip([q, k, v, dout]) {
            gather(tensor, range, rows, columns);
        }
        let probabilities = &saved.probabilities[saved.offsets[i]..saved.offsets[i + 1]];
        for (head, p) in probabilities.chunks_exact(tokens * columns).enumerate() {
            let rows = head * size * columns..(head + 1) * size * columns;
            let [q, k, v, dout] = [0, 1, 2, 3].map(|i| &inputs[i * hidden * columns..][rows.clone()]);
            let mut out = |i: usize, left, right: &[f32]| {
                product(left, right, columns, &mut outputs[i * hidden * columns..][rows.clone()]);
            };
            let ds = &mut ds[..tokens * columns];
            transpose(p, tokens, columns, turned);
            out(2, by_feature(dout, tokens, size, columns), turned);
            product(by_key(v, tokens, size, columns), dout, columns, ds);
            softmax_backward(p, ds, columns, scale);
            out(0, by_feature(k, tokens, size, columns), ds);
            transpose(ds, tokens, columns, turned);
            out(1, by_feature(q, tokens, size, columns), turned);
        }
        for (shared, rows) in shared.iter().zip(outputs.chunks_exact(hidden * columns)) {
            // SAFETY: the ranges of sequences are disjoint, and each has one task.
            unsafe { shared.scatter(range, rows, columns) };
        }
    });
    Ok(())
}

multiversion! {
    /// `p[j][i] = exp(scale (p[j][i] - max)) / sum`, both down the rows j; with `codes`, exponentials are rounded to multiples of 1/255.
    fn softmax(p: &mut [f32], columns: usize, scale: f32, codes: bool) {
        for first in (0..columns).step_by(LANES) {
            let mut max = [f32::NEG_INFINITY; LANES];
            for row in p.chunks_exact(columns) {
                for (max, &x) in max.iter_mut().zip(&row[first..first + LANES]) {
                    *max = if x > *max { x } else { *max };
                }
            }
            let mut sum = [0.0f32; LANES];
            for row in p.chunks_exact_mut(columns) {
                for ((x, max), sum) in row[first..first + LANES].iter_mut().zip(&max).zip(&mut sum) {
                    *x = exp(scale * (*x - max));
                    if codes {
                        *x = ((255.0 * *x + NEAREST) - NEAREST) / 255.0;
                    }
                    *sum += *x;
                }
            }
            let inverse = sum.map(|sum| 1.0 / sum);
            for row in p.chunks_exact_mut(columns) {
                row[first..first + LANES].iter_mut().zip(&inverse).for_each(|(x, inverse)| *x *= inverse);
            }
        }
    }
}

multiversion! {
    /// `dp[j][i] = scale p[j][i] (dp[j][i] - sum_j p[j][i] dp[j][i])`.
    fn softmax_backward(p: &[f32], dp: &mut [f32], columns: usize, scale: f32) {
        for first in (0..columns).step_by(LANES) {
            let mut sum = [0.0f32; LANES];
            for (p, dp) in p.chunks_exact(columns).zip(dp.chunks_exact(columns)) {
                let both = p[first..first + LANES].iter().zip(&dp[first..first + LANES]);
                sum.iter_mut().zip(both).for_each(|(sum, (p, dp))| *sum = p.mul_add(*dp, *sum));
            }
            for (p, dp) in p.chunks_exact(columns).zip(dp.chunks_exact_mut(columns)) {
                let both = p[first..first + LANES].iter().zip(&mut dp[first..first + LANES]);
                both.zip(&sum).for_each(|((p, dp), sum)| *dp = scale * p * (*dp - sum));
            }
        }
    }
}

multiversion! {
    /// `out[i][j] = m[j][i]` for the first `tokens` of both, rows of `columns`; the rest of these rows of `out` is zero.
    fn transpose(m: &[f32], tokens: usize, columns: usize, out: &mut [f32]) {
        for first in (0..tokens).step_by(LANES) {
            for column in (0..columns).step_by(LANES) {
                let mut square = [[0.0f32; LANES]; LANES];
                for (row, line) in square.iter_mut().enumerate().take(tokens.saturating_sub(column)) {
                    line.copy_from_slice(&m[(column + row) * columns + first..][..LANES]);
                }
                for i in 0..LANES.min(tokens - first) {
                    let out = &mut out[(first + i) * columns + column..][..LANES];
                    out.iter_mut().zip(&square).for_each(|(out, line)| *out = line[i]);
                }
            }
        }
    }
}
