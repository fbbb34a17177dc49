//! The forward pass in pieces, for two models side by side.
//!
//! Activations are token-major, `[N][features]`. A batch is a run of sequences, back to back; batches run in parallel, each on one thread,
//! so that results have the same bits on any number of threads.

use std::ops::Range;

use lacuna_model::reference::{Reference, layer_norm, matmul_transposed};
use lacuna_model::{EncoderConfig, EncoderWeights, LayerNorm, Linear, Matrix, TokenIds};
use rayon::prelude::*;

use super::linalg::{View, ViewMut, product};
use crate::error::Result;

/// Tokens of a batch, or more, so that a product is worth its packing.
const BATCH_TOKENS: usize = 1024;

/// A run of sequences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    /// Which of the caller's sequences.
    pub(super) sequences: Range<usize>,
    /// The tokens of each, among those of the batch.
    pub(super) tokens: Vec<Range<usize>>,
}

/// Cuts sequences of these lengths into batches.
pub(super) fn batches(lengths: &[usize]) -> Vec<Batch> {
    let mut out = Vec::new();
    let (mut start, mut end, mut tokens) = (0, 0, Vec::new());
    for (index, length) in lengths.iter().enumerate() {
        tokens.push(end..end + length);
        end += length;
        if end >= BATCH_TOKENS || index + 1 == lengths.len() {
            out.push(Batch { sequences: start..index + 1, tokens: std::mem::take(&mut tokens) });
            (start, end) = (index + 1, 0);
        }
    }
    out
}

/// What the first layer reads, per batch.
pub(super) fn embed<S: TokenIds>(
    config: &EncoderConfig,
    weights: &EncoderWeights,
    sequences: &[S],
    batches: &[Batch],
) -> Result<Vec<Matrix>> {
    let embeddings = EncoderWeights { embeddings: weights.embeddings.clone(), layers: vec![], pooler: None };
    let reference = Reference::new(config, &embeddings);
    let embed = |batch: &Batch| -> Result<Matrix> {
        let states = reference.forward(&sequences[batch.sequences.clone()])?;
        let rows = states.iter().map(|state| state.rows).sum();
        let data = states.iter().flat_map(|state| &state.data).copied().collect();
        Ok(Matrix { rows, cols: config.hidden_size, data })
    };
    batches.iter().map(embed).collect()
}

/// `y[n] = W x[n] + b`.
pub(super) fn linear(x: &Matrix, layer: &Linear) -> Matrix {
    let mut y = matmul_transposed(x, &layer.weight);
    for row in y.data.chunks_exact_mut(layer.bias.len().max(1)) {
        row.iter_mut().zip(&layer.bias).for_each(|(y, b)| *y += b);
    }
    y
}

/// `norm(x + linear(inner))`: the end of both blocks of a layer.
pub(super) fn close(x: &Matrix, inner: &Matrix, layer: &Linear, norm: &LayerNorm, eps: f32) -> Matrix {
    let mut y = linear(inner, layer);
    y.data.iter_mut().zip(&x.data).for_each(|(y, x)| *y += x);
    layer_norm(&mut y, norm, eps);
    y
}

/// `softmax(Q K^T / sqrt(d)) V` per sequence and head, from the block's input.
pub(super) fn attend(heads: usize, x: &Matrix, qkv: [&Linear; 3], sequences: &[Range<usize>]) -> Matrix {
    let [q, k, v] = qkv.map(|layer| linear(x, layer));
    let (wide, size) = (q.cols, q.cols / heads);
    let scale = 1.0 / (size as f32).sqrt();
    let mut out = Matrix::zeros(x.rows, wide);
    let longest = sequences.iter().map(Range::len).max().unwrap_or(0);
    let mut scores = vec![0.0f32; longest * longest];
    for sequence in sequences {
        let tokens = sequence.len();
        let scores = &mut scores[..tokens * tokens];
        for head in 0..heads {
            let first = sequence.start * wide + head * size;
            let part = |m: &'_ Matrix| first..first + m.data.len().saturating_sub(first);
            let (query, key) = (&q.data[part(&q)], &k.data[part(&k)]);
            let to = ViewMut::new(scores, tokens, tokens, tokens);
            let keys = View::new(key, tokens, size, wide).transposed();
            product(to, 0.0, View::new(query, tokens, size, wide), keys, scale);
            scores.chunks_exact_mut(tokens).for_each(softmax);
            let to = ViewMut::new(&mut out.data[first..], tokens, size, wide);
            let weights = View::new(scores, tokens, tokens, tokens);
            product(to, 0.0, weights, View::new(&v.data[part(&v)], tokens, size, wide), 1.0);
        }
    }
    out
}

fn softmax(row: &mut [f32]) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|x| *x = (*x - max).exp());
    let sum: f32 = row.iter().sum();
    let scale = 1.0 / sum;
    row.iter_mut().for_each(|x| *x *= scale);
}

/// One matrix per batch, in parallel.
pub(super) fn per_batch(count: usize, f: impl Fn(usize) -> Matrix + Sync + Send) -> Vec<Matrix> {
    (0..count).into_par_iter().map(f).collect()
}

/// `sum |a - b|^2 / sum |b|^2`.
pub(super) fn distance(a: &[Matrix], b: &[Matrix]) -> f64 {
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        let pairs = a.iter().zip(b).flat_map(|(a, b)| a.data.iter().zip(&b.data));
        pairs.map(|(a, b)| f(f64::from(*a), f64::from(*b))).sum()
    };
    let of = sum(&|_, b| b * b);
    if of > 0.0 { sum(&|a, b| (a - b) * (a - b)) / of } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lacuna_model::{Model, Preset, seeded_ids};

    #[test]
    fn the_pieces_make_the_reference() {
        let config = EncoderConfig { vocab_size: 100, layers: 2, ..Preset::BertMini.config() };
        let model = Model::seeded(config, 3).unwrap();
        let (config, weights) = (model.config(), model.weights());
        let ids: Vec<Vec<u32>> = (0..80).flat_map(|i| seeded_ids(100, 1, 1 + i % 60, i as u64)).collect();
        let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
        let batches = batches(&lengths);
        assert!(batches.len() > 1);
        let mut x = embed(config, weights, &ids, &batches).unwrap();
        for layer in &weights.layers {
            x = per_batch(batches.len(), |i| {
                let attended = attend(config.heads, &x[i], [&layer.q, &layer.k, &layer.v], &batches[i].tokens);
                let y = close(&x[i], &attended, &layer.o, &layer.attention_norm, config.layer_norm_eps);
                let mut inner = linear(&y, &layer.up);
                lacuna_model::reference::activate(config.activation, &mut inner.data);
                close(&y, &inner, &layer.down, &layer.output_norm, config.layer_norm_eps)
            });
        }
        let found = x.iter().flat_map(|x| &x.data);
        let expected = model.reference().forward(&ids).unwrap();
        let expected = expected.iter().flat_map(|x| &x.data);
        assert!(found.zip(expected).all(|(a, b)| (a - b).abs() < 1e-4));
    }
}
