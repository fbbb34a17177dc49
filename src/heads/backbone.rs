//! What a head stands on, and how tasks run it over many texts.

use rayon::prelude::*;

use super::Head;
use crate::config::EncoderConfig;
use crate::encoder::{Encoder, Session, Truncation};
use crate::error::Result;
use crate::matrix::Matrix;
use crate::model::Model;
pub(super) use crate::tokenize::locate_all;
use crate::tokenize::{SentenceTokenizer, TextInput, TokenizedText};
use crate::tokens::{TokenIds, check_tokens};

/// Tokens whose hidden states are kept at a time: 3 KiB each at 768 features.
const KEPT_TOKENS: usize = 8192;

/// An encoder under a head: from token ids to hidden states.
///
/// [`Encoder`] is the one to use; [`Model`] is the f32 reference, as read or pruned.
pub trait Backbone: Send + Sync {
    /// The shape.
    fn config(&self) -> &EncoderConfig;

    /// The tokenizer, if the model came with one.
    fn tokenizer(&self) -> Option<&SentenceTokenizer>;

    /// The hidden states after the last layer, one `[tokens][hidden]` matrix per sequence.
    ///
    /// # Errors
    /// Those of [`Encoder::hidden_states`].
    fn hidden_states<S: TokenIds>(&self, ids: &[S]) -> Result<Vec<Matrix>>;
}

impl Backbone for Encoder {
    fn config(&self) -> &EncoderConfig {
        self.config()
    }

    fn tokenizer(&self) -> Option<&SentenceTokenizer> {
        self.tokenizer()
    }

    fn hidden_states<S: TokenIds>(&self, ids: &[S]) -> Result<Vec<Matrix>> {
        self.hidden_states(ids)
    }
}

impl Backbone for Session {
    fn config(&self) -> &EncoderConfig {
        self.encoder().config()
    }

    fn tokenizer(&self) -> Option<&SentenceTokenizer> {
        self.encoder().tokenizer()
    }

    fn hidden_states<S: TokenIds>(&self, ids: &[S]) -> Result<Vec<Matrix>> {
        self.hidden_states(ids)
    }
}

impl Backbone for Model {
    fn config(&self) -> &EncoderConfig {
        self.config()
    }

    fn tokenizer(&self) -> Option<&SentenceTokenizer> {
        self.tokenizer()
    }

    fn hidden_states<S: TokenIds>(&self, ids: &[S]) -> Result<Vec<Matrix>> {
        Ok(self.reference().forward(ids)?)
    }
}

/// What a task made of a batch, in its order. Dereferences to the results.
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs<T> {
    /// One result per input.
    pub results: Vec<T>,
    /// Inputs of which only the beginning was used.
    pub truncated: Vec<Truncation>,
}

impl<T> std::ops::Deref for Outputs<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.results
    }
}

/// Tokenizes inputs, and cuts those that are too long.
pub(super) fn tokenize<B: Backbone>(backbone: &B, inputs: &[TextInput<'_>]) -> Result<Vec<TokenizedText>> {
    let all = locate_all(backbone.config(), backbone.tokenizer(), inputs)?;
    let limit = limit(backbone);
    Ok(all.into_iter().map(|tokens| tokens.cut(limit)).collect())
}

/// The longest sequence in tokens.
pub(super) fn limit<B: Backbone>(backbone: &B) -> usize {
    let positions = backbone.config().max_position;
    backbone.tokenizer().map_or(positions, |tokenizer| tokenizer.max_length().min(positions))
}

/// The inputs that were cut.
pub(super) fn truncations(all: &[TokenizedText]) -> Vec<Truncation> {
    let cut = |(sentence, tokens): (usize, &TokenizedText)| {
        Some(Truncation { sentence, tokens: tokens.truncated_from?, limit: tokens.ids.len() })
    };
    all.iter().enumerate().filter_map(cut).collect()
}

/// The logits of those rows of each sequence that `rows` picks (`None` picks all), turned into a result by `finish`.
pub(super) fn run<B: Backbone, T: Send>(
    backbone: &B,
    head: &Head,
    all: &[TokenizedText],
    rows: impl Fn(&TokenizedText) -> Option<Vec<usize>> + Sync,
    finish: impl Fn(&TokenizedText, Matrix) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    check_tokens(backbone.config(), all)?;
    let mut results = Vec::with_capacity(all.len());
    let mut rest = all;
    while !rest.is_empty() {
        let mut tokens = 0;
        let fits = |sequence: &&TokenizedText| {
            tokens += sequence.ids.len();
            tokens <= KEPT_TOKENS
        };
        let (now, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        let states = backbone.hidden_states(now)?;
        let finished = now.par_iter().zip(states).map(|(tokens, states)| {
            let picked = rows(tokens).map(|rows| pick(&states, &rows));
            match picked {
                // A head has nothing to say of no token.
                Some(picked) if picked.rows == 0 => finish(tokens, picked),
                picked => finish(tokens, head.logits(picked.as_ref().unwrap_or(&states))?),
            }
        });
        results.extend(finished.collect::<Result<Vec<T>>>()?);
        rest = later;
    }
    Ok(results)
}

fn pick(states: &Matrix, rows: &[usize]) -> Matrix {
    let data = rows.iter().flat_map(|&row| states.row(row)).copied().collect();
    Matrix { rows: rows.len(), cols: states.cols, data }
}
