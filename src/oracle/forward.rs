//! The forward pass itself.

use std::ops::Range;

use rayon::prelude::*;

use super::ops::{View, add, exp_minus_max, gelu, layer_norm, linear, matmul, sum_by};
use super::{NoObserver, Observer, Site, Tap};
use crate::config::EncoderConfig;
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::pooling::Pooling;
use crate::weights::{EncoderWeights, LayerWeights};

/// Tokens that go through the layers together: large enough that packing a weight matrix for the
/// product is amortised, small enough that activations stay in cache.
const GROUP_TOKENS: usize = 512;

/// The f32 reference encoder.
#[derive(Clone, Copy)]
pub struct Oracle<'a> {
    config: &'a EncoderConfig,
    weights: &'a EncoderWeights,
}

impl<'a> Oracle<'a> {
    /// An oracle over existing weights, whose shapes agree with the configuration.
    pub fn new(config: &'a EncoderConfig, weights: &'a EncoderWeights) -> Self {
        Self { config, weights }
    }

    /// Hidden states after the last layer, one `[N][hidden]` matrix per sequence.
    ///
    /// Sequences are packed into groups without padding; groups run in parallel on the current
    /// rayon pool, each on one thread.
    ///
    /// # Errors
    /// [`Error::EmptyBatch`], [`Error::EmptySequence`], [`Error::SequenceTooLong`],
    /// [`Error::TokenOutOfRange`].
    pub fn forward<S: AsRef<[u32]> + Sync>(&self, ids: &[S]) -> Result<Vec<Matrix>> {
        self.forward_observed(ids, &NoObserver)
    }

    /// Like [`Oracle::forward`], with an observer of the tensors that quantisation rounds.
    ///
    /// # Errors
    /// Those of [`Oracle::forward`].
    pub fn forward_observed<S: AsRef<[u32]> + Sync>(&self, ids: &[S], observer: &dyn Observer) -> Result<Vec<Matrix>> {
        let ids: Vec<&[u32]> = ids.iter().map(AsRef::as_ref).collect();
        check_ids(self.config, &ids)?;
        let groups = groups(&ids, rayon::current_num_threads());
        let states: Vec<Vec<Matrix>> =
            groups.into_par_iter().map(|(range, first_token)| self.group(&ids[range], first_token, observer)).collect();
        Ok(states.into_iter().flatten().collect())
    }

    /// One pooled embedding of `hidden` features per sequence.
    ///
    /// # Errors
    /// Those of [`Oracle::forward`].
    pub fn embed<S: AsRef<[u32]> + Sync>(&self, ids: &[S], pooling: &Pooling) -> Result<Vec<Vec<f32>>> {
        Ok(self.forward(ids)?.iter().map(|states| pooling.pool(states)).collect())
    }

    /// Like [`Oracle::embed`], with an observer.
    ///
    /// # Errors
    /// Those of [`Oracle::forward`].
    pub fn embed_observed<S: AsRef<[u32]> + Sync>(
        &self,
        ids: &[S],
        pooling: &Pooling,
        observer: &dyn Observer,
    ) -> Result<Vec<Vec<f32>>> {
        let states = self.forward_observed(ids, observer)?;
        Ok(states.iter().map(|states| pooling.pool(states)).collect())
    }

    /// A group of sequences, back to back, through all layers.
    fn group(&self, ids: &[&[u32]], first_token: usize, observer: &dyn Observer) -> Vec<Matrix> {
        let mut sequences = Vec::with_capacity(ids.len());
        let mut end = 0;
        for ids in ids {
            sequences.push(end..end + ids.len());
            end += ids.len();
        }
        let mut hidden = self.embed_tokens(ids, end);
        for (layer, weights) in self.weights.layers.iter().enumerate() {
            let site = |tap| Site { layer, tap, first_token };
            self.layer(weights, &mut hidden, &sequences, site, observer);
        }
        let cols = hidden.cols;
        let rows = |range: Range<usize>| hidden.data[range.start * cols..range.end * cols].to_vec();
        sequences.into_iter().map(|range| Matrix { rows: range.len(), cols, data: rows(range) }).collect()
    }

    /// Word + position + type-0 embedding, normalised.
    fn embed_tokens(&self, ids: &[&[u32]], tokens: usize) -> Matrix {
        let tables = &self.weights.embeddings;
        let mut hidden = Matrix::zeros(tokens, self.config.hidden_size);
        let positions = ids.iter().flat_map(|ids| ids.iter().enumerate());
        for (token, (position, &id)) in positions.enumerate() {
            let sum = tables.word.row(id as usize).iter();
            let sum = sum.zip(tables.position.row(position)).zip(tables.token_type.row(0));
            for (x, ((word, position), token_type)) in hidden.row_mut(token).iter_mut().zip(sum) {
                *x = word + position + token_type;
            }
        }
        layer_norm(&mut hidden, &tables.norm, self.config.layer_norm_eps);
        hidden
    }

    fn layer(
        &self,
        weights: &LayerWeights,
        hidden: &mut Matrix,
        sequences: &[Range<usize>],
        site: impl Fn(Tap) -> Site,
        observer: &dyn Observer,
    ) {
        let eps = self.config.layer_norm_eps;
        let see = |tap, x: &mut Matrix| {
            if observer.wants(tap) {
                observer.tensor(site(tap), &mut x.data, x.cols);
            }
        };
        // What a projection reads: the residual stream itself, or a copy the observer has changed.
        let input = |tap, hidden: &Matrix| {
            observer.wants(tap).then(|| {
                let mut seen = hidden.clone();
                see(tap, &mut seen);
                seen
            })
        };

        let seen = input(Tap::AttentionInput, hidden);
        let x = seen.as_ref().unwrap_or(hidden);
        let mut q = linear(x, &weights.q);
        let mut k = linear(x, &weights.k);
        let mut v = linear(x, &weights.v);
        see(Tap::Query, &mut q);
        see(Tap::Key, &mut k);
        see(Tap::Value, &mut v);
        let mut attended = self.attention(&q, &k, &v, sequences, &site, observer);
        see(Tap::AttentionOutput, &mut attended);
        add(hidden, &linear(&attended, &weights.o));
        layer_norm(hidden, &weights.attention_norm, eps);

        let seen = input(Tap::FeedForwardInput, hidden);
        let mut inner = linear(seen.as_ref().unwrap_or(hidden), &weights.up);
        gelu(&mut inner.data);
        see(Tap::GeluOutput, &mut inner);
        add(hidden, &linear(&inner, &weights.down));
        layer_norm(hidden, &weights.output_norm, eps);
    }

    /// `softmax(Q K^T / sqrt(d)) V` per sequence and head.
    fn attention(
        &self,
        q: &Matrix,
        k: &Matrix,
        v: &Matrix,
        sequences: &[Range<usize>],
        site: impl Fn(Tap) -> Site,
        observer: &dyn Observer,
    ) -> Matrix {
        let (hidden, size) = (self.config.hidden_size, self.config.head_size());
        let scale = 1.0 / (size as f32).sqrt();
        let mut out = Matrix::zeros(q.rows, hidden);
        let longest = sequences.iter().map(Range::len).max().unwrap_or(0);
        let mut scores = vec![0.0f32; longest * longest];
        for sequence in sequences {
            let tokens = sequence.len();
            let scores = &mut scores[..tokens * tokens];
            for head in 0..self.config.heads {
                let first = sequence.start * hidden + head * size;
                let part = |m| head_view(m, first, tokens, size);
                matmul(scores, tokens, part(q), part(k));
                for row in scores.chunks_exact_mut(tokens) {
                    row.iter_mut().for_each(|s| *s *= scale);
                    exp_minus_max(row);
                }
                if observer.wants(Tap::Probabilities) {
                    let at = site(Tap::Probabilities);
                    let at = Site { first_token: at.first_token + sequence.start, ..at };
                    observer.tensor(at, scores, tokens);
                }
                let weights = View { data: scores, rows: tokens, cols: tokens, row_stride: tokens, col_stride: 1 };
                matmul(&mut out.data[first..], hidden, weights, part(v).transposed());
                for (i, row) in scores.chunks_exact(tokens).enumerate() {
                    let norm = 1.0 / sum_by(row, |p| p);
                    let at = first + i * hidden;
                    out.data[at..at + size].iter_mut().for_each(|o| *o *= norm);
                }
            }
        }
        out
    }
}

/// The part of a `[N][hidden]` matrix that belongs to one sequence and one head.
fn head_view(m: &Matrix, first: usize, tokens: usize, size: usize) -> View<'_> {
    let data = &m.data[first..];
    View { data, rows: tokens, cols: size, row_stride: m.cols, col_stride: 1 }
}

/// Checks a batch against the limits of a model.
pub(crate) fn check_ids<S: AsRef<[u32]>>(config: &EncoderConfig, ids: &[S]) -> Result<()> {
    if ids.is_empty() {
        return Err(Error::EmptyBatch);
    }
    for (sequence, ids) in ids.iter().map(AsRef::as_ref).enumerate() {
        if ids.is_empty() {
            return Err(Error::EmptySequence { sequence });
        }
        if ids.len() > config.max_position {
            let (found, limit) = (ids.len(), config.max_position);
            return Err(Error::SequenceTooLong { sequence, found, limit });
        }
        if let Some(position) = ids.iter().position(|&id| id as usize >= config.vocab_size) {
            return Err(Error::TokenOutOfRange {
                sequence,
                position,
                found: ids[position],
                vocab_size: config.vocab_size,
            });
        }
    }
    Ok(())
}

/// Splits a batch into runs of sequences of about [`GROUP_TOKENS`] tokens, fewer when that leaves
/// threads idle. Each run comes with the index of its first token in the batch.
fn groups(ids: &[&[u32]], threads: usize) -> Vec<(Range<usize>, usize)> {
    let total: usize = ids.iter().map(|ids| ids.len()).sum();
    let target = GROUP_TOKENS.min(total.div_ceil(threads.max(1)));
    let mut groups = Vec::new();
    let (mut start, mut first_token, mut tokens) = (0, 0, 0);
    for (i, ids) in ids.iter().enumerate() {
        tokens += ids.len();
        if tokens >= target {
            groups.push((start..i + 1, first_token));
            (start, first_token, tokens) = (i + 1, first_token + tokens, 0);
        }
    }
    if start < ids.len() {
        groups.push((start..ids.len(), first_token));
    }
    groups
}
