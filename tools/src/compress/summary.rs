//! What came out.

use std::fmt::Write as _;

use lacuna::weights::{EncoderWeights, LINEAR_NAMES};
use lacuna_console::table::Table;
use lacuna_train::prune::MatrixReport;
use serde::Serialize;

use super::log::minutes;
use super::structure::Cut;
use super::texts::Used;

/// A linear layer of the encoder.
#[derive(Debug, Clone, Serialize)]
pub(super) struct MatrixSummary {
    pub(super) layer: usize,
    pub(super) name: &'static str,
    /// The fraction of its weights that are zero.
    pub(super) zeros: f64,
    /// What pruning cost, of the energy of its outputs; none without pruning.
    pub(super) relative_error: Option<f64>,
}

/// Rank correlations on the pairs, where there are pairs.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Figures {
    /// The dense model in f32.
    pub(super) dense_f32: f64,
    /// After heads and neurons were removed, in f32.
    pub(super) cut_f32: Option<f64>,
    /// After pruning and refitting, in f32.
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
    /// Heads and neurons that were removed, if they were.
    pub(super) cut: Option<Cut>,
    /// The fraction of zeros of all linear weights of the encoder.
    pub(super) zeros: f64,
    pub(super) matrices: Vec<MatrixSummary>,
    pub(super) texts: Vec<Used>,
    pub(super) pairs: Option<usize>,
    pub(super) spearman: Option<Figures>,
    pub(super) steps: u64,
    /// Tokens of all training steps.
    pub(super) tokens: u64,
    pub(super) pruning_seconds: f64,
    pub(super) training_seconds: f64,
    pub(super) interrupted: bool,
    pub(super) seed: u64,
    pub(super) threads: usize,
    pub(super) cpu: String,
    /// The options, to repeat the run.
    pub(super) command: String,
}

impl Summary {
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
        if let (Some(figures), Some(pairs)) = (&self.spearman, self.pairs) {
            let mut table = Table::new(&["<model", "Spearman"]);
            let mut row = |name: &str, value: f64| table.row([name.to_owned(), format!("{value:.4}")]);
            row("dense, f32", figures.dense_f32);
            if let Some(cut) = figures.cut_f32 {
                row("smaller and refitted, f32", cut);
            }
            if let Some(pruned) = figures.pruned_f32 {
                row("pruned and refitted, f32", pruned);
            }
            row("result, f32", figures.f32);
            row("result, int8 as it runs", figures.int8);
            let _ = write!(out, "on {pairs} pairs, which were not trained on:\n{table}");
        }
        out.trim_end().to_owned() + "\n"
    }
}
