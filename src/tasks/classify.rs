//! Labels for texts and pairs of texts.

use std::sync::Arc;

use lacuna_model::TextInput;
use serde::Serialize;

use super::backbone::Backbone;
use super::batch::sequence_logits;
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

    /// Every label with its score, the best first, for each input.
    ///
    /// # Errors
    /// [`ModelError::EmptyBatch`](crate::errors::ModelError::EmptyBatch), [`NoTokenizer`](crate::errors::ModelError::NoTokenizer),
    /// [`Tokenizer`](crate::errors::ModelError::Tokenizer); those of [`Encoder::embed_ids`](crate::Encoder::embed_ids) where the tokenizer does not fit the model.
    pub fn classify(&self, inputs: &[TextInput<'_>]) -> Result<Outputs<Vec<Classification>>> {
        let Outputs { results, truncated } = sequence_logits(&*self.backbone, &self.head, inputs)?;
        let results = results.into_iter().map(|logits| self.labelled(logits)).collect();
        Ok(Outputs { results, truncated })
    }

    fn labelled(&self, mut logits: Vec<f32>) -> Vec<Classification> {
        self.head.problem().scores(&mut logits);
        let labels = self.head.labels().iter().zip(logits);
        let mut all: Vec<_> = labels.map(|(label, score)| Classification { label: label.clone(), score }).collect();
        all.sort_by(|a, b| b.score.total_cmp(&a.score));
        all
    }
}
