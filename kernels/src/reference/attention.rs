//! The obvious scalar references of attention: with the kernels' 8-bit probabilities, and with exact ones.

use super::gemm::Matrix;
use crate::attention::{AttentionParams, Sequence};
use crate::math;

/// Attention of every sequence in every head, `[F][N]` u8; tokens outside all sequences are 0.
///
/// `q` is u8, `k` and `v` are s8 in two's complement, all `[F][N]` with F = heads x head size. Rounding is that of the kernels:
/// probabilities are u8 with their largest at 255, everything before and after is exact or rounds once.
pub fn attention(
    params: &AttentionParams,
    sequences: &[Sequence],
    q: &Matrix<u8>,
    k: &Matrix<u8>,
    v: &Matrix<u8>,
) -> Matrix<u8> {
    let mut out = Matrix::from_fn(q.features, q.columns, |_, _| 0);
    each_query(params, sequences, q.features, |head, features, keys, i| {
        let scores = scores(params, head, features.clone(), keys.clone(), i, q, k);
        let largest = scores.iter().max().copied().unwrap_or(0);
        let falloff = math::Falloff::new(params.score_scale[head] * math::LOG2_E);
        let p: Vec<i32> = scores.iter().map(|s| i32::from(math::exp2_u8(largest.abs_diff(*s), falloff))).collect();
        let reciprocal = 1.0 / p.iter().sum::<i32>() as f32;
        for d in features {
            let sum: i32 = keys.clone().zip(&p).map(|(j, p)| p * i32::from(v.at(d, j) as i8)).sum();
            let y = (sum as f32 * reciprocal).mul_add(params.out_scale[d], f32::from(params.out_zero));
            out.values[d * q.columns + i] = math::quantize_u8(y);
        }
    });
    out
}

/// The same with exact softmax in f64 and no rounding of the result: `O out_scale + out_zero`.
pub fn exact_attention(
    params: &AttentionParams,
    sequences: &[Sequence],
    q: &Matrix<u8>,
    k: &Matrix<u8>,
    v: &Matrix<u8>,
) -> Vec<f64> {
    let mut out = vec![0.0; q.values.len()];
    each_query(params, sequences, q.features, |head, features, keys, i| {
        let scores = scores(params, head, features.clone(), keys.clone(), i, q, k);
        let largest = scores.iter().max().copied().unwrap_or(0);
        let c = f64::from(params.score_scale[head]);
        let p: Vec<f64> = scores.iter().map(|s| (f64::from(s - largest) * c).exp()).collect();
        let sum: f64 = p.iter().sum();
        for d in features {
            let o: f64 = keys.clone().zip(&p).map(|(j, p)| p * f64::from(v.at(d, j) as i8)).sum::<f64>() / sum;
            out[d * q.columns + i] = o * f64::from(params.out_scale[d]) + f64::from(params.out_zero);
        }
    });
    out
}

/// Calls `body(head, its features, its keys, query)` for every query of every sequence in every head.
fn each_query(
    params: &AttentionParams,
    sequences: &[Sequence],
    features: usize,
    mut body: impl FnMut(usize, std::ops::Range<usize>, std::ops::Range<usize>, usize),
) {
    let heads = params.score_scale.len();
    let size = features / heads;
    for head in 0..heads {
        for s in sequences {
            for i in s.start..s.start + s.len {
                body(head, head * size..(head + 1) * size, s.start..s.start + s.len, i);
            }
        }
    }
}

/// `S[j] = sum_d K[d][j] (Q[d][i] - q_zero)` for all keys of one query.
fn scores(
    params: &AttentionParams,
    head: usize,
    features: std::ops::Range<usize>,
    keys: std::ops::Range<usize>,
    i: usize,
    q: &Matrix<u8>,
    k: &Matrix<u8>,
) -> Vec<i32> {
    let q_zero = i32::from(params.q_zero[head]);
    let score =
        |j: usize| features.clone().map(|d| i32::from(k.at(d, j) as i8) * (i32::from(q.at(d, i)) - q_zero)).sum();
    keys.map(score).collect()
}
