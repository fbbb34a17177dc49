//! A head: its weights, and what its outputs mean.

use std::path::{Path, PathBuf};

use super::config::HeadConfig;
use super::kind::HeadKind;
use super::problem::Problem;
use super::score::ScoreFunction;
use super::weights::HeadWeights;
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::settings::{Remark, RemarkScope};
use crate::words::plural;

/// The head of a model: its weights in f32, and what its outputs mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    path: PathBuf,
    config: HeadConfig,
    weights: HeadWeights,
}

impl Head {
    /// A head with the names of labels that `config` lacks; `path` is the configuration file, for messages.
    pub fn new(path: &Path, mut config: HeadConfig, weights: HeadWeights) -> Head {
        config.name_labels(weights.outputs());
        Head { path: path.to_owned(), config, weights }
    }

    /// The same head with other weights, as after training.
    ///
    /// # Errors
    /// [`Error::HeadWeights`] for weights of other shapes or with values that are not finite.
    pub fn with_weights(self, weights: HeadWeights) -> Result<Head> {
        weights.check_like(&self.weights).map_err(|(found, expected)| Error::HeadWeights { found, expected })?;
        Ok(Head { weights, ..self })
    }

    /// What `config.json` says about it.
    pub fn config(&self) -> &HeadConfig {
        &self.config
    }

    /// Its weights.
    pub fn weights(&self) -> &HeadWeights {
        &self.weights
    }

    /// What it is for.
    pub fn kind(&self) -> HeadKind {
        self.config.kind
    }

    /// The class of the model in `config.json`.
    pub fn class(&self) -> &str {
        &self.config.class
    }

    /// What a classification's outputs are called: `id2label`, or `LABEL_0`, `LABEL_1`, ...; empty for the other kinds.
    pub fn labels(&self) -> &[String] {
        match self.kind() {
            HeadKind::SequenceClassification | HeadKind::TokenClassification => &self.config.labels,
            HeadKind::QuestionAnswering | HeadKind::MaskedLm => &[],
        }
    }

    /// How the outputs of a sequence classification become scores.
    pub fn problem(&self) -> Problem {
        self.config.problem(self.weights.outputs())
    }

    /// How a cross-encoder with this head turns its logit into a score: `activation_fn` of `config_sentence_transformers.json`, or
    /// `sentence_transformers.activation_fn` of `config.json`, or `sbert_ce_default_activation_function` in older models, or a sigmoid.
    ///
    /// # Errors
    /// [`Error::UnsupportedSetting`] for another function than [`ScoreFunction`] has.
    pub fn score_function(&self) -> Result<ScoreFunction> {
        self.config.score_function(&self.path)
    }

    /// What users should know about its settings: what was assumed because the files are silent. With `ranks` this is about scores of
    /// passages, without it about labels.
    pub fn remarks(&self, ranks: bool) -> Vec<Remark> {
        match (self.kind(), ranks) {
            (HeadKind::SequenceClassification, true) if self.config.assumes_score_function() => {
                let text = "scores: sigmoid (assumed: no activation function of sentence-transformers)";
                vec![Remark::new(RemarkScope::Head, text)]
            }
            (HeadKind::SequenceClassification, false) | (HeadKind::TokenClassification, _) => {
                self.config.label_remarks()
            }
            _ => Vec::new(),
        }
    }

    /// How many weights and biases it computes with; the decoder of a masked language model counts, even if it is the table of
    /// word embeddings.
    pub fn parameters(&self) -> usize {
        self.weights.parameters()
    }

    /// The logits of the head for the hidden states of one sequence.
    ///
    /// # Shapes
    /// `states` is `[tokens][hidden]`, as the encoder gives it. The result is `[1][labels]` for a sequence
    /// classification, which reads the first token only, `[tokens][labels]` for a token classification, `[tokens][2]` (start, end)
    /// for question answering, `[tokens][vocab_size]` for a masked language model.
    ///
    /// # Numerics
    /// f32, as the f32 reference computes.
    ///
    /// # Errors
    /// [`Error::HeadInput`] for states of other features, or of no token.
    pub fn logits(&self, states: &Matrix) -> Result<Matrix> {
        let expected = self.weights.inputs();
        if states.cols != expected || states.rows == 0 || states.data.len() != states.rows * states.cols {
            return Err(Error::HeadInput { found: states.cols, rows: states.rows, expected });
        }
        Ok(self.weights.logits(states))
    }

    /// Checks that it is the head that a task needs.
    ///
    /// # Errors
    /// [`Error::WrongHead`].
    pub fn require(&self, kind: HeadKind) -> Result<()> {
        match self.kind() == kind {
            true => Ok(()),
            false => Err(self.wrong(format!("an architecture that ends in {}", kind.class()))),
        }
    }

    /// The error of a task that needs another head.
    pub fn wrong(&self, expected: String) -> Error {
        let labels = match self.labels().len() {
            0 => String::new(),
            n => format!(" with {}", plural(n, "label")),
        };
        Error::WrongHead { path: self.path.clone(), found: format!("{}{labels}", self.class()), expected }
    }
}
