//! Figures of a run.

use serde::Serialize;

use crate::dev::Metric;

/// A figure of the run. As JSON it is a line of the command's log.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A matrix was pruned.
    Matrix {
        /// Its layer.
        layer: usize,
        /// Its name in the layer.
        name: &'static str,
        /// The fraction of its blocks that are zero.
        sparsity: f64,
        /// The squared error of its outputs over their energy.
        relative_error: f64,
        /// What it took.
        seconds: f64,
    },
    /// A layer was pruned.
    Layer {
        /// Its number.
        layer: usize,
        /// The squared error of its output, relative to the dense model's.
        hidden_error: f64,
        /// What it took.
        seconds: f64,
    },
    /// Heads and neurons of a layer were removed.
    Cut {
        /// Its number.
        layer: usize,
        /// The heads that stay.
        heads: Vec<usize>,
        /// How many neurons stay.
        neurons: usize,
        /// The squared error of its output, relative to the dense model's.
        hidden_error: f64,
        /// What it took.
        seconds: f64,
    },
    /// Training stands here.
    Step {
        /// Steps that are done.
        step: u64,
        /// The fraction of the training that is done.
        done: f64,
        /// The weighted sum of the losses that follow.
        loss: f64,
        /// Of hidden states.
        hidden: f64,
        /// Of embeddings.
        cosine: f64,
        /// Of the similarities within a batch.
        similarity: f64,
        /// Of the logits of the teacher's head.
        logits: f64,
        /// Of labels.
        labels: f64,
        /// Of the scores of pairs.
        scores: f64,
        /// The learning rate.
        rate: f64,
        /// The norm of the gradient before it is clipped.
        gradient_norm: f64,
        /// The sparsity, if it rises during the training.
        #[serde(skip_serializing_if = "Option::is_none")]
        sparsity: Option<f64>,
        /// Tokens of all steps.
        tokens: u64,
        /// Seconds of all steps.
        seconds: f64,
    },
    /// The student is pruned again: its matrices and layers follow.
    Pruning {
        /// The step after which it is.
        step: u64,
        /// Its number, from 1.
        number: u32,
        /// How many there are.
        planned: u32,
        /// The sparsity that it makes.
        sparsity: f64,
    },
    /// How far int8 moves embeddings when it is asked whether to round, and the answer.
    Rounding {
        /// The step.
        step: u64,
        /// The mean cosine distance between embeddings in int8 and in f32.
        distance: f64,
        /// Whether the training goes on rounded.
        rounds: bool,
    },
    /// What is measured on the pairs, or on the labelled texts.
    Dev {
        /// Of which model: `dense`, `smaller`, `pruned`, `training`, `result`.
        stage: &'static str,
        /// The step.
        step: u64,
        /// The rank correlation of cosines and scores.
        #[serde(skip_serializing_if = "Option::is_none")]
        spearman: Option<f64>,
        /// The fraction of texts with the right label.
        #[serde(skip_serializing_if = "Option::is_none")]
        accuracy: Option<f64>,
    },
}

impl Event {
    /// A figure.
    pub(crate) fn dev(metric: Metric, stage: &'static str, step: u64, value: f64) -> Event {
        let of = |other| (metric == other).then_some(value);
        Event::Dev { stage, step, spearman: of(Metric::Spearman), accuracy: of(Metric::Accuracy) }
    }
}
