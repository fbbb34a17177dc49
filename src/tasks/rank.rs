//! Reranking: how well passages answer a query, by reading both together.

use std::borrow::Cow;
use std::sync::Arc;

use lacuna_model::TextInput;
use serde::Serialize;

use super::backbone::Backbone;
use super::batch::sequence_logits;
use super::order::sort_by_logit;
use super::outputs::Outputs;
use crate::error::Result;
use crate::heads::{Head, HeadKind, ScoreFunction};

/// A passage and its score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ranked {
    /// Index of the passage among those given.
    pub index: usize,
    /// Larger is better. NaN if the logit is.
    pub score: f32,
    /// What the score is made of. Passages are in the order of this, which keeps an order where scores are all 0 or 1.
    pub logit: f32,
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
        let function = head.score_function();
        Ok(Self::scoring(backbone, head, ScoreFunction::Identity)?.with_score_function(function?))
    }

    /// The same with a function for the scores in place of the model's own, which may be one that is not known here.
    ///
    /// # Errors
    /// [`ModelError::WrongHead`](crate::errors::ModelError::WrongHead), as [`CrossEncoder::new`].
    pub fn scoring(backbone: Arc<dyn Backbone>, head: impl Into<Arc<Head>>, function: ScoreFunction) -> Result<Self> {
        let head = head.into();
        head.require(HeadKind::SequenceClassification)?;
        match head.labels().len() {
            1 | 2 => Ok(Self { function, backbone, head }),
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
        let Outputs { results, truncated } = self.logits(pairs)?;
        Ok(Outputs { results: results.into_iter().map(|logit| self.function.score(logit)).collect(), truncated })
    }

    /// The logit of every pair, of two labels the second's less the first's.
    fn logits(&self, pairs: &[TextInput<'_>]) -> Result<Outputs<f32>> {
        let Outputs { results, truncated } = sequence_logits(&*self.backbone, &self.head, pairs)?;
        let logit = |logits: Vec<f32>| match logits[..] {
            [no, yes] => yes - no,
            _ => logits.iter().sum(), // there is one
        };
        Ok(Outputs { results: results.into_iter().map(logit).collect(), truncated })
    }

    /// The passages of a query, the best first: in the order of their logits, and of equal ones in the order of the passages. A passage
    /// whose logit is not a number is last. If the model has a default prompt, it is put before the query.
    ///
    /// # Errors
    /// Those of [`CrossEncoder::scores`].
    pub fn rank<S: AsRef<str>>(&self, query: &str, passages: &[S]) -> Result<Outputs<Ranked>> {
        let query = self
            .backbone
            .prompts()
            .default_text()
            .map_or(Cow::Borrowed(query), |prompt| (prompt.to_owned() + query).into());
        let pairs: Vec<TextInput<'_>> = passages.iter().map(|p| TextInput::pair(&query, p.as_ref())).collect();
        let Outputs { results, truncated } = self.logits(&pairs)?;
        let ranked = |(index, logit)| Ranked { index, score: self.function.score(logit), logit };
        let mut results: Vec<Ranked> = results.into_iter().enumerate().map(ranked).collect();
        sort_by_logit(&mut results, |found| found.logit);
        Ok(Outputs { results, truncated })
    }
}
