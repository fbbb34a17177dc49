//! What came out.

use std::fmt::Write as _;

use lacuna::heads::HeadKind;
use lacuna::weights::{EncoderWeights, LINEAR_NAMES};
use lacuna_console::table::Table;
use lacuna_train::prune::MatrixReport;
use serde::Serialize;

use super::dev::Metric;
use super::gradual::Gradual;
use super::log::minutes;
use super::plan::Plan;
use super::structure::Cut;
use super::texts::Used;

/// A linear layer of the encoder.
#[derive(Debug, Clone, Serialize)]
pub(super) struct MatrixSummary {
    pub(super) layer: usize,
    pub(super) name: &'static str,
    /// The fraction of its weights that are zero.
    pub(super) zeros: f64,
    /// What the first pruning cost, of the energy of its outputs; none without pruning.
    pub(super) relative_error: Option<f64>,
}

/// What was measured on the pairs or the labelled texts, where there are some.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Figures {
    /// The dense model in f32; none if it has no head.
    pub(super) dense_f32: Option<f64>,
    /// After heads and neurons were removed, in f32.
    pub(super) cut_f32: Option<f64>,
    /// After the first pruning and refitting, in f32.
    pub(super) pruned_f32: Option<f64>,
    /// The result in f32.
    pub(super) f32: f64,
    /// The result in int8, as it runs.
    pub(super) int8: f64,
}

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Summary {
    pub(super) model: String,
    pub(super) teacher: Option<String>,
    pub(super) out: String,
    pub(super) method: &'static str,
    pub(super) block: Option<String>,
    /// The layers of the result, where it has fewer than the model.
    pub(super) layers: Option<usize>,
    /// How every matrix was pruned, and why; none if nothing was pruned.
    pub(super) plan: Option<Plan>,
    /// How the sparsity rose during the training, if it did.
    pub(super) gradual: Option<Gradual>,
    /// Milliseconds of a sequence as [`Plan`] has it, of the result; none where no time was asked for.
    pub(super) measured_ms: Option<f64>,
    /// Heads and neurons that were removed, if they were.
    pub(super) cut: Option<Cut>,
    /// The fraction of zeros of all linear weights of the encoder.
    pub(super) zeros: f64,
    pub(super) matrices: Vec<MatrixSummary>,
    pub(super) texts: Vec<Used>,
    /// The head that was trained, if there is one.
    pub(super) head: Option<HeadKind>,
    /// The names of its labels; empty without labels.
    pub(super) labels: Vec<String>,
    pub(super) pairs: Option<usize>,
    pub(super) labelled_dev: Option<usize>,
    /// What the figures are.
    #[serde(skip)]
    pub(super) metric: Option<Metric>,
    pub(super) spearman: Option<Figures>,
    pub(super) accuracy: Option<Figures>,
    pub(super) steps: u64,
    /// Tokens of all training steps.
    pub(super) tokens: u64,
    /// Seconds of all prunings of this run, those during the training included.
    pub(super) pruning_seconds: f64,
    pub(super) training_seconds: f64,
    /// Whether the embeddings were trained.
    pub(super) embeddings: bool,
    /// Whether the end of the training was rounded as int8.
    pub(super) rounded: bool,
    pub(super) interrupted: bool,
    pub(super) seed: u64,
    pub(super) threads: usize,
    pub(super) cpu: String,
    /// The options, to repeat the run.
    pub(super) command: String,
}

impl Figures {
    /// The figures that there are, with their names; `result` is what the result is called.
    pub(super) fn rows(&self, result: &str, gradual: Option<&Gradual>) -> Vec<(String, f64)> {
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
    pub(super) fn figures(&self) -> Option<(Metric, &Figures, usize)> {
        let metric = self.metric?;
        let (figures, count) = match metric {
            Metric::Spearman => (&self.spearman, self.pairs),
            Metric::Accuracy => (&self.accuracy, self.labelled_dev),
        };
        Some((metric, figures.as_ref()?, count?))
    }

    /// Zeros of every matrix, and of all together.
    pub(super) fn matrices(weights: &EncoderWeights, pruned: &[MatrixReport]) -> (Vec<MatrixSummary>, f64) {
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
    pub(super) fn measured_text(&self) -> Option<String> {
        let (times, ms) = (self.plan.as_ref()?.times.as_ref()?, self.measured_ms?);
        Some(format!("the result takes {ms:.3} ms, {:.2} times as fast as dense int8", times.dense_ms / ms))
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        if let Some(cut) = &self.cut {
            let _ = writeln!(out, "{}: {}", self.out, cut.describe());
        }
        let least = self.matrices.iter().map(|matrix| matrix.zeros).fold(1.0, f64::min);
        let _ = writeln!(
            out,
            "{}: {:.1} % of the weights of the linear layers are zero, at least {:.1} % of each",
            self.out,
            self.zeros * 1e2,
            least * 1e2
        );
        if let Some(plan) = &self.plan {
            out += &plan.text();
        }
        if let Some(measured) = self.measured_text() {
            let _ = writeln!(out, "{measured}");
        }
        if let Some(gradual) = &self.gradual {
            let _ = writeln!(out, "{}", gradual.text());
        }
        let mut times = format!("pruned in {}", minutes(self.pruning_seconds));
        if self.steps > 0 {
            times += &format!(
                "; trained {} steps, {} tokens in {}",
                self.steps,
                self.tokens,
                minutes(self.training_seconds)
            );
        }
        let _ = writeln!(out, "{times}, on {} threads of {}", self.threads, self.cpu);
        if let Some((metric, figures, count)) = self.figures() {
            let mut table = Table::new(&["<model", metric.name()]);
            for (name, value) in figures.rows("result", self.gradual.as_ref()) {
                table.row([name, format!("{value:.4}")]);
            }
            let _ = write!(out, "on {count} {}, which were not trained on:\n{table}", metric.noun());
        }
        out.trim_end().to_owned() + "\n"
    }
}
