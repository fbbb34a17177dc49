//! Reranking: how well passages answer a query, by reading both together.

use std::sync::Arc;

use serde::Serialize;

use super::classify::logits;
use super::labels::sigmoid;
use super::{Backbone, Head, HeadKind, Outputs};
use crate::encoder::Encoder;
use crate::error::Result;
use crate::tokenize::TextInput;

/// A passage and its score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ranked {
    /// Index of the passage among those given.
    pub index: usize,
    /// Larger is better.
    pub score: f32,
}

/// A cross-encoder: a sequence classification of (query, passage) with one label, or with two of which the second is "relevant".
#[derive(Debug)]
pub struct CrossEncoder<B = Encoder> {
    backbone: Arc<B>,
    head: Head,
    raw: bool,
}

impl<B: Backbone> CrossEncoder<B> {
    /// Puts a head onto its encoder.
    ///
    /// # Errors
    /// [`Error::WrongHead`](crate::Error::WrongHead) if the head is none for sequence classification, or has more than two labels.
    pub fn new(backbone: Arc<B>, head: Head) -> Result<Self> {
        head.require(HeadKind::SequenceClassification)?;
        match head.labels().len() {
            1 | 2 => Ok(Self { backbone, head, raw: false }),
            _ => Err(head.wrong("one label, or two of which the second is \"relevant\"".into())),
        }
    }

    /// Scores that are not squeezed between 0 and 1: the logit, of two labels the second's less the first's.
    #[must_use]
    pub fn with_raw_scores(self, raw: bool) -> Self {
        Self { raw, ..self }
    }

    /// A score per (query, passage): `1 / (1 + exp(-logit))`, which of two labels is the second's softmax.
    ///
    /// # Errors
    /// Those of [`SequenceClassifier::classify`](super::SequenceClassifier::classify).
    pub fn scores(&self, pairs: &[TextInput<'_>]) -> Result<Outputs<f32>> {
        let Outputs { results, truncated } = logits(&*self.backbone, &self.head, pairs)?;
        let score = |logits: Vec<f32>| {
            let logit = match logits[..] {
                [no, yes] => yes - no,
                _ => logits.iter().sum(), // there is one
            };
            if self.raw { logit } else { sigmoid(logit) }
        };
        Ok(Outputs { results: results.into_iter().map(score).collect(), truncated })
    }

    /// The passages of a query, the best first.
    ///
    /// # Errors
    /// Those of [`CrossEncoder::scores`].
    pub fn rank<S: AsRef<str>>(&self, query: &str, passages: &[S]) -> Result<Outputs<Ranked>> {
        let pairs: Vec<TextInput<'_>> = passages.iter().map(|p| TextInput::pair(query, p.as_ref())).collect();
        let Outputs { results, truncated } = self.scores(&pairs)?;
        let mut results: Vec<Ranked> =
            results.into_iter().enumerate().map(|(index, score)| Ranked { index, score }).collect();
        results.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(Outputs { results, truncated })
    }
}
