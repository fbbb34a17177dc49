//! What came out.

use lacuna::heads::HeadKind;
use lacuna::weights::{EncoderWeights, LINEAR_NAMES};
use lacuna_train::prune::MatrixReport;
use serde::Serialize;

use crate::dev::Metric;
use crate::gradual::Gradual;
use crate::plan::Plan;
use crate::structure::Cut;
use crate::texts::Used;

/// A linear layer of the encoder.
#[derive(Debug, Clone, Serialize)]
pub struct MatrixSummary {
    /// Its layer.
    pub layer: usize,
    /// Its name in the layer.
    pub name: &'static str,
    /// The fraction of its weights that are zero.
    pub zeros: f64,
    /// What the first pruning cost, of the energy of its outputs; none without pruning.
    pub relative_error: Option<f64>,
}

/// What was measured on the pairs or the labelled texts, where there are some.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    /// The dense model in f32; none if it has no head.
    pub dense_f32: Option<f64>,
    /// After heads and neurons were removed, in f32.
    pub cut_f32: Option<f64>,
    /// After the first pruning and refitting, in f32.
    pub pruned_f32: Option<f64>,
    /// The result in f32.
    pub f32: f64,
    /// The result in int8, as it runs.
    pub int8: f64,
}

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The dense model, as it was named.
    pub model: String,
    /// The model that it learned from, where it was another one.
    pub teacher: Option<String>,
    /// Where the result is.
    pub out: String,
    /// What was done, in words.
    pub method: &'static str,
    /// The block shapes, most blocks first; none if nothing was pruned.
    pub block: Option<String>,
    /// The layers of the result, where it has fewer than the model.
    pub layers: Option<usize>,
    /// How every matrix was pruned, and why; none if nothing was pruned.
    pub plan: Option<Plan>,
    /// How the sparsity rose during the training, if it did.
    pub gradual: Option<Gradual>,
    /// Milliseconds of a sequence as [`Plan`] has it, of the result; none where no time was asked for.
    pub measured_ms: Option<f64>,
    /// Heads and neurons that were removed, if they were.
    pub cut: Option<Cut>,
    /// The fraction of zeros of all linear weights of the encoder.
    pub zeros: f64,
    /// Every matrix.
    pub matrices: Vec<MatrixSummary>,
    /// The texts, by where they came from.
    pub texts: Vec<Used>,
    /// The head that was trained, if there is one.
    pub head: Option<HeadKind>,
    /// The names of its labels; empty without labels.
    pub labels: Vec<String>,
    /// Pairs that were measured on.
    pub pairs: Option<usize>,
    /// Labelled texts that were measured on.
    pub labelled_dev: Option<usize>,
    /// What the figures are.
    #[serde(skip)]
    pub metric: Option<Metric>,
    /// Rank correlations on the pairs.
    pub spearman: Option<Figures>,
    /// Accuracies on the labelled texts.
    pub accuracy: Option<Figures>,
    /// Training steps.
    pub steps: u64,
    /// Tokens of all training steps.
    pub tokens: u64,
    /// Seconds of all prunings of this run, those during the training included.
    pub pruning_seconds: f64,
    /// Seconds of the training.
    pub training_seconds: f64,
    /// Whether the embeddings were trained.
    pub embeddings: bool,
    /// Whether the end of the training was rounded as int8.
    pub rounded: bool,
    /// Whether the training ended early.
    pub interrupted: bool,
    /// The seed.
    pub seed: u64,
    /// Threads.
    pub threads: usize,
    /// The CPU.
    pub cpu: String,
    /// The options, to repeat the run.
    pub command: String,
}

impl Figures {
    /// The figures that there are, with their names; `result` is what the result is called.
    pub fn rows(&self, result: &str, gradual: Option<&Gradual>) -> Vec<(String, f64)> {
        let pruned = match gradual {
            Some(gradual) => format!("pruned to {:.1} % and refitted, f32", gradual.start_sparsity * 1e2),
            None => "pruned and refitted, f32".to_owned(),
        };
        let rows = [
            ("dense, f32".to_owned(), self.dense_f32),
            ("smaller and refitted, f32".to_owned(), self.cut_f32),
            (pruned, self.pruned_f32),
            (format!("{result}, f32"), Some(self.f32)),
            (format!("{result}, int8 as it runs"), Some(self.int8)),
        ];
        rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl Summary {
    /// What was measured: what it is, the figures, and on how many pairs or texts.
    pub fn figures(&self) -> Option<(Metric, &Figures, usize)> {
        let metric = self.metric?;
        let (figures, count) = match metric {
            Metric::Spearman => (&self.spearman, self.pairs),
            Metric::Accuracy => (&self.accuracy, self.labelled_dev),
        };
        Some((metric, figures.as_ref()?, count?))
    }

    /// Zeros of every matrix, and of all together.
    pub(crate) fn matrices(weights: &EncoderWeights, pruned: &[MatrixReport]) -> (Vec<MatrixSummary>, f64) {
        let (mut all, mut zero, mut total) = (vec![], 0, 0);
        for (layer, parts) in weights.layers.iter().enumerate() {
            for (linear, name) in parts.linears().into_iter().zip(LINEAR_NAMES) {
                let zeros = linear.weight.data.iter().filter(|&&w| w == 0.0).count();
                let of = |report: &&MatrixReport| report.layer == layer && report.name == name;
                let relative_error = pruned.iter().find(of).map(|report| report.relative_error);
                let count = linear.weight.data.len();
                all.push(MatrixSummary { layer, name, zeros: zeros as f64 / count as f64, relative_error });
                (zero, total) = (zero + zeros, total + count);
            }
        }
        (all, zero as f64 / f64::max(total as f64, 1.0))
    }

    /// The time of the result beside the prediction.
    pub fn measured_text(&self) -> Option<String> {
        let (times, ms) = (self.plan.as_ref()?.times.as_ref()?, self.measured_ms?);
        Some(format!("the result takes {ms:.3} ms, {:.2} times as fast as dense int8", times.dense_ms / ms))
    }
}
