//! Labels for texts and pairs of texts.

use std::sync::Arc;

use lacuna_model::TextInput;
use serde::Serialize;

use super::backbone::Backbone;
use super::batch::sequence_logits;
use super::order::{finite, sort_by_logit};
use super::outputs::Outputs;
use crate::error::Result;
use crate::heads::{Head, HeadKind};

/// A label and how sure the model is of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Classification {
    /// From `config.json`.
    pub label: String,
    /// As the head's [`Problem`](crate::heads::Problem) defines it.
    pub score: f32,
    /// What the score is made of. Labels are in the order of this, which keeps an order where scores are all 0 or 1.
    pub logit: f32,
}

/// A sequence classification: sentiment, topics, entailment of pairs.
#[derive(Debug, Clone)]
pub struct SequenceClassifier {
    backbone: Arc<dyn Backbone>,
    head: Arc<Head>,
}

impl SequenceClassifier {
    /// Puts a head onto its encoder.
    ///
    /// # Errors
    /// [`ModelError::WrongHead`](crate::errors::ModelError::WrongHead) if the head is not one for sequence classification.
    pub fn new(backbone: Arc<dyn Backbone>, head: impl Into<Arc<Head>>) -> Result<Self> {
        let head = head.into();
        head.require(HeadKind::SequenceClassification)?;
        Ok(Self { backbone, head })
    }

    /// The head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Every label with its score, the best first, for each input. Labels with the same logit are in the order of `config.json`.
    ///
    /// # Errors
    /// [`Error::NotFinite`](crate::Error::NotFinite);
    /// [`ModelError::EmptyBatch`](crate::errors::ModelError::EmptyBatch), [`NoTokenizer`](crate::errors::ModelError::NoTokenizer),
    /// [`Tokenizer`](crate::errors::ModelError::Tokenizer); those of [`Encoder::embed_ids`](crate::Encoder::embed_ids) where the tokenizer does not fit the model.
    pub fn classify(&self, inputs: &[TextInput<'_>]) -> Result<Outputs<Vec<Classification>>> {
        let Outputs { results, truncated } = sequence_logits(&*self.backbone, &self.head, inputs)?;
        results.iter().enumerate().try_for_each(|(input, logits)| finite(input, logits))?;
        let results = results.into_iter().map(|logits| self.labelled(&logits)).collect();
        Ok(Outputs { results, truncated })
    }

    /// The score of every label, in the order of [`Head::labels`], for each input.
    ///
    /// # Errors
    /// Those of [`SequenceClassifier::classify`].
    pub fn scores(&self, inputs: &[TextInput<'_>]) -> Result<Outputs<Vec<f32>>> {
        let Outputs { mut results, truncated } = sequence_logits(&*self.backbone, &self.head, inputs)?;
        results.iter().enumerate().try_for_each(|(input, logits)| finite(input, logits))?;
        results.iter_mut().for_each(|scores| self.head.problem().scores(scores));
        Ok(Outputs { results, truncated })
    }

    fn labelled(&self, logits: &[f32]) -> Vec<Classification> {
        let mut scores = logits.to_vec();
        self.head.problem().scores(&mut scores);
        let labels = self.head.labels().iter().zip(scores).zip(logits);
        let label = |((label, score), logit): ((&String, f32), &f32)| Classification {
            label: label.clone(),
            score,
            logit: *logit,
        };
        let mut all: Vec<_> = labels.map(label).collect();
        sort_by_logit(&mut all, |found| found.logit);
        all
    }
}
