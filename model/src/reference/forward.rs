//! The forward pass itself.

use std::ops::Range;

use rayon::prelude::*;

use super::activation::activate;
use super::observe::{NoObserver, Observer, Site, Tap};
use super::ops::{View, add, exp_minus_max, layer_norm, linear, matmul, sum_by};
use crate::config::EncoderConfig;
use crate::error::Result;
use crate::matrix::Matrix;
use crate::pooling::Pooling;
use crate::tokens::{TokenIds, check_tokens};
use crate::weights::{EncoderWeights, LayerWeights};

/// Tokens that go through the layers together: large enough that packing a weight matrix for the
/// product is amortised, small enough that activations stay in cache.
const GROUP_TOKENS: usize = 512;

/// The f32 reference encoder.
#[derive(Clone, Copy)]
pub struct Reference<'a> {
    config: &'a EncoderConfig,
    weights: &'a EncoderWeights,
}

impl<'a> Reference<'a> {
    /// A reference over existing weights, whose shapes agree with the configuration.
    pub fn new(config: &'a EncoderConfig, weights: &'a EncoderWeights) -> Self {
        Self { config, weights }
    }

    /// Hidden states after the last layer, one `[N][hidden]` matrix per sequence.
    ///
    /// Sequences are packed into groups without padding; groups run in parallel on the current
    /// rayon pool, each on one thread.
    ///
    /// # Errors
    /// [`Error::EmptyBatch`](crate::Error::EmptyBatch), [`EmptySequence`](crate::Error::EmptySequence),
    /// [`SequenceTooLong`](crate::Error::SequenceTooLong), [`TokenOutOfRange`](crate::Error::TokenOutOfRange),
    /// [`TokenTypeLength`](crate::Error::TokenTypeLength), [`TokenTypeOutOfRange`](crate::Error::TokenTypeOutOfRange).
    pub fn forward<S: TokenIds>(&self, ids: &[S]) -> Result<Vec<Matrix>> {
        self.forward_observed(ids, &NoObserver)
    }

    /// Like [`Reference::forward`], with an observer of the tensors that quantisation rounds.
    ///
    /// # Errors
    /// Those of [`Reference::forward`].
    pub fn forward_observed<S: TokenIds>(&self, ids: &[S], observer: &dyn Observer) -> Result<Vec<Matrix>> {
        self.forward_in_groups(ids, rayon::current_num_threads(), observer)
    }

    /// The same with sequences in about `at_least` groups, or more. Other groups may give other last bits, so that for the same bits on
    /// any number of threads the number has to be the same.
    pub(crate) fn forward_in_groups<S: TokenIds>(
        &self,
        ids: &[S],
        at_least: usize,
        observer: &dyn Observer,
    ) -> Result<Vec<Matrix>> {
        check_tokens(self.config, ids)?;
        let lengths: Vec<usize> = ids.iter().map(|tokens| tokens.ids().len()).collect();
        let groups = groups(&lengths, at_least);
        let states: Vec<Vec<Matrix>> =
            groups.into_par_iter().map(|(range, first_token)| self.group(&ids[range], first_token, observer)).collect();
        Ok(states.into_iter().flatten().collect())
    }

    /// One embedding of [`Pooling::features`] features per sequence.
    ///
    /// # Errors
    /// Those of [`Reference::forward`].
    pub fn embed<S: TokenIds>(&self, ids: &[S], pooling: &Pooling) -> Result<Vec<Vec<f32>>> {
        Ok(self.forward(ids)?.iter().map(|states| pooling.pool(states)).collect())
    }

    /// Like [`Reference::embed`], where the first `prompt` tokens of every sequence are a prompt.
    ///
    /// # Errors
    /// Those of [`Reference::forward`].
    pub fn embed_prompted<S: TokenIds>(&self, ids: &[S], pooling: &Pooling, prompt: usize) -> Result<Vec<Vec<f32>>> {
        Ok(self.forward(ids)?.iter().map(|states| pooling.pool_from(states, prompt)).collect())
    }

    /// Like [`Reference::embed`], with an observer.
    ///
    /// # Errors
    /// Those of [`Reference::forward`].
    pub fn embed_observed<S: TokenIds>(
        &self,
        ids: &[S],
        pooling: &Pooling,
        observer: &dyn Observer,
    ) -> Result<Vec<Vec<f32>>> {
        let states = self.forward_observed(ids, observer)?;
        Ok(states.iter().map(|states| pooling.pool(states)).collect())
    }

    /// A group of sequences, back to back, through all layers.
    fn group<S: TokenIds>(&self, batch: &[S], first_token: usize, observer: &dyn Observer) -> Vec<Matrix> {
        let mut sequences = Vec::with_capacity(batch.len());
        let mut end = 0;
        for tokens in batch {
            sequences.push(end..end + tokens.ids().len());
            end += tokens.ids().len();
        }
        let mut hidden = self.embed_tokens(batch, end, first_token, observer);
        for (layer, weights) in self.weights.layers.iter().enumerate() {
            let site = |tap| Site { layer, tap, first_token };
            self.layer(weights, &mut hidden, &sequences, site, observer);
        }
        let cols = hidden.cols;
        let rows = |range: Range<usize>| hidden.data[range.start * cols..range.end * cols].to_vec();
        sequences.into_iter().map(|range| Matrix { rows: range.len(), cols, data: rows(range) }).collect()
    }

    /// Word + position + type embedding, normalised, and projected where there is a projection.
    fn embed_tokens<S: TokenIds>(
        &self,
        batch: &[S],
        tokens: usize,
        first_token: usize,
        observer: &dyn Observer,
    ) -> Matrix {
        let tables = &self.weights.embeddings;
        let mut sums = Matrix::zeros(tokens, self.config.embedding_features());
        let places = batch.iter().flat_map(|tokens| {
            let kind = |position: usize| tokens.types().map_or(0, |types| types[position]);
            tokens.ids().iter().enumerate().map(move |(position, &id)| (id, position, kind(position)))
        });
        for (token, (id, position, kind)) in places.enumerate() {
            let sum = tables.word.row(id as usize).iter();
            let sum = sum.zip(tables.position.row(position)).zip(tables.token_type.row(kind as usize));
            for (x, ((word, position), token_type)) in sums.row_mut(token).iter_mut().zip(sum) {
                *x = word + position + token_type;
            }
        }
        layer_norm(&mut sums, &tables.norm, self.config.layer_norm_eps);
        let Some(projection) = &tables.projection else { return sums };
        if observer.wants(Tap::ProjectionInput) {
            let site = Site { layer: 0, tap: Tap::ProjectionInput, first_token };
            let features = sums.cols;
            observer.tensor(site, &mut sums.data, features);
        }
        linear(&sums, projection)
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
        activate(self.config.activation, &mut inner.data);
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
        let (features, size) = (self.config.attention_features(), self.config.head_size());
        let scale = 1.0 / (size as f32).sqrt();
        let mut out = Matrix::zeros(q.rows, features);
        let longest = sequences.iter().map(Range::len).max().unwrap_or(0);
        let mut scores = vec![0.0f32; longest * longest];
        for sequence in sequences {
            let tokens = sequence.len();
            let scores = &mut scores[..tokens * tokens];
            for head in 0..self.config.heads {
                let first = sequence.start * features + head * size;
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
                matmul(&mut out.data[first..], features, weights, part(v).transposed());
                for (i, row) in scores.chunks_exact(tokens).enumerate() {
                    let norm = 1.0 / sum_by(row, |p| p);
                    let at = first + i * features;
                    out.data[at..at + size].iter_mut().for_each(|o| *o *= norm);
                }
            }
        }
        out
    }
}

/// The part of a `[N][features]` matrix that belongs to one sequence and one head.
fn head_view(m: &Matrix, first: usize, tokens: usize, size: usize) -> View<'_> {
    let data = &m.data[first..];
    View { data, rows: tokens, cols: size, row_stride: m.cols, col_stride: 1 }
}

/// Splits a batch into runs of sequences of about [`GROUP_TOKENS`] tokens, fewer when that leaves
/// threads idle. Each run comes with the index of its first token in the batch.
fn groups(lengths: &[usize], threads: usize) -> Vec<(Range<usize>, usize)> {
    let total: usize = lengths.iter().sum();
    let target = GROUP_TOKENS.min(total.div_ceil(threads.max(1)));
    let mut groups = Vec::new();
    let (mut start, mut first_token, mut tokens) = (0, 0, 0);
    for (i, length) in lengths.iter().enumerate() {
        tokens += length;
        if tokens >= target {
            groups.push((start..i + 1, first_token));
            (start, first_token, tokens) = (i + 1, first_token + tokens, 0);
        }
    }
    if start < lengths.len() {
        groups.push((start..lengths.len(), first_token));
    }
    groups
}
