//! Reranking: how well passages answer a query, by reading both together.

use std::borrow::Cow;
use std::sync::Arc;

use lacuna_model::TextInput;
use serde::Serialize;

use super::backbone::Backbone;
use super::batch::sequence_logits;
use super::outputs::Outputs;
use crate::error::Result;
use crate::heads::{Head, HeadKind, ScoreFunction};

/// A passage and its score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ranked {
    /// Index of the passage among those given.
    pub index: usize,
    /// Larger is better.
    pub score: f32,
}

/// A cross-encoder: a sequence classification of (query, passage) with one label, or with two of which the second is "relevant".
#[derive(Debug, Clone)]
pub struct CrossEncoder {
    backbone: Arc<dyn Backbone>,
    head: Arc<Head>,
    function: ScoreFunction,
}

impl CrossEncoder {
    /// Puts a head onto its encoder.
    ///
    /// # Errors
    /// [`ModelError::WrongHead`](crate::errors::ModelError::WrongHead) if the head is not one for sequence classification, or has more than two labels;
    /// those of [`Head::score_function`].
    pub fn new(backbone: Arc<dyn Backbone>, head: impl Into<Arc<Head>>) -> Result<Self> {
        let head = head.into();
        head.require(HeadKind::SequenceClassification)?;
        match head.labels().len() {
            1 | 2 => Ok(Self { function: head.score_function()?, backbone, head }),
            _ => Err(head.wrong("one label, or two of which the second is \"relevant\"".into()).into()),
        }
    }

    /// The same with another function for the scores than the model's own: [`ScoreFunction::Identity`] gives logits.
    #[must_use]
    pub fn with_score_function(self, function: ScoreFunction) -> Self {
        Self { function, ..self }
    }

    /// A score per (query, passage): the model's [`ScoreFunction`] of the logit, of two labels the second's less the first's. A
    /// sigmoid of that difference is the second's softmax.
    ///
    /// # Errors
    /// Those of [`SequenceClassifier::classify`](super::SequenceClassifier::classify).
    pub fn scores(&self, pairs: &[TextInput<'_>]) -> Result<Outputs<f32>> {
        let Outputs { results, truncated } = sequence_logits(&*self.backbone, &self.head, pairs)?;
        let score = |logits: Vec<f32>| {
            let logit = match logits[..] {
                [no, yes] => yes - no,
                _ => logits.iter().sum(), // there is one
            };
            self.function.score(logit)
        };
        Ok(Outputs { results: results.into_iter().map(score).collect(), truncated })
    }

    /// The passages of a query, the best first. If the model has a default prompt, it is put before the query.
    ///
    /// # Errors
    /// Those of [`CrossEncoder::scores`].
    pub fn rank<S: AsRef<str>>(&self, query: &str, passages: &[S]) -> Result<Outputs<Ranked>> {
        let query = self.backbone.prompts().default_text().map_or(Cow::Borrowed(query), |prompt| (prompt.to_owned() + query).into());
        let pairs: Vec<TextInput<'_>> = passages.iter().map(|p| TextInput::pair(&query, p.as_ref())).collect();
        let Outputs { results, truncated } = self.scores(&pairs)?;
        let mut results: Vec<Ranked> =
            results.into_iter().enumerate().map(|(index, score)| Ranked { index, score }).collect();
        results.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(Outputs { results, truncated })
    }
}
