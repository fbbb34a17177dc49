//! What a run says while it goes on: progress lines, a log of JSON lines, and the points of the curves.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lacuna_console::error::{Error, Result};
use lacuna_console::output::say;
use serde::Serialize;

use super::dev::Metric;

/// Time between two lines of progress.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// A figure of the run, as it is logged.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Event {
    /// A matrix was pruned.
    Matrix { layer: usize, name: &'static str, sparsity: f64, relative_error: f64, seconds: f64 },
    /// A layer was pruned.
    Layer { layer: usize, hidden_error: f64, seconds: f64 },
    /// Heads and neurons of a layer were removed; those that stay.
    Cut { layer: usize, heads: Vec<usize>, neurons: usize, hidden_error: f64, seconds: f64 },
    /// Training stands here.
    Step {
        step: u64,
        done: f64,
        loss: f64,
        hidden: f64,
        cosine: f64,
        similarity: f64,
        logits: f64,
        labels: f64,
        scores: f64,
        rate: f64,
        gradient_norm: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        sparsity: Option<f64>,
        tokens: u64,
        seconds: f64,
    },
    /// The student is pruned again: its matrices and layers follow.
    Pruning { step: u64, number: u32, planned: u32, sparsity: f64 },
    /// How far int8 moves embeddings when it is asked whether to round, and the answer.
    Rounding { step: u64, distance: f64, rounds: bool },
    /// What is measured on the pairs, or on the labelled texts.
    Dev {
        stage: &'static str,
        step: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        spearman: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        accuracy: Option<f64>,
    },
}

impl Event {
    /// A figure.
    pub(super) fn dev(metric: Metric, stage: &'static str, step: u64, value: f64) -> Event {
        let of = |other| (metric == other).then_some(value);
        Event::Dev { stage, step, spearman: of(Metric::Spearman), accuracy: of(Metric::Accuracy) }
    }
}

/// A value over the steps of the training.
pub(super) type Curve = Vec<(f64, f64)>;

/// The curves of a run.
#[derive(Default)]
pub(super) struct Curves {
    pub(super) loss: Curve,
    pub(super) rate: Curve,
    pub(super) dev: Curve,
    pub(super) norm: Curve,
    /// Empty without gradual pruning.
    pub(super) sparsity: Curve,
}

/// Where events go.
pub(super) struct Log {
    file: Option<(PathBuf, File)>,
    failed: Option<std::io::Error>,
    last: Instant,
    pub(super) curves: Curves,
}

impl Log {
    /// Opens the log file, if one is asked for. `append` adds to what an interrupted run wrote.
    pub(super) fn new(path: Option<&Path>, append: bool) -> Result<Log> {
        let open = |path: &Path| -> Result<(PathBuf, File)> {
            let mut options = File::options();
            options.create(true).write(true).append(append).truncate(!append);
            Ok((path.to_owned(), options.open(path).map_err(Error::io(path, "create"))?))
        };
        let file = path.map(open).transpose()?;
        Ok(Log { file, failed: None, last: Instant::now(), curves: Curves::default() })
    }

    /// Takes an event.
    pub(super) fn add(&mut self, event: &Event) {
        if let (Some((_, file)), None) = (&mut self.file, &self.failed) {
            let mut line = serde_json::to_vec(event).unwrap_or_default();
            line.push(b'\n');
            self.failed = file.write_all(&line).err();
        }
        match event {
            Event::Step { step, done, loss, rate, gradient_norm, sparsity, tokens, seconds, .. } => {
                let at = *step as f64;
                self.curves.loss.push((at, *loss));
                self.curves.rate.push((at, *rate));
                self.curves.norm.push((at, *gradient_norm));
                self.curves.sparsity.extend(sparsity.map(|sparsity| (at, sparsity)));
                if self.last.elapsed() >= LINE_EVERY {
                    self.last = Instant::now();
                    let left = if *done > 0.0 { seconds * (1.0 - done) / done } else { 0.0 };
                    say(format_args!(
                        "step {step}: loss {loss:.4}, {:.0} tokens/s, {:.0} % done, {} left",
                        *tokens as f64 / seconds.max(1e-9),
                        done * 1e2,
                        minutes(left)
                    ));
                }
            }
            Event::Dev { stage, step, spearman, accuracy } => {
                for (metric, value) in [(Metric::Spearman, spearman), (Metric::Accuracy, accuracy)] {
                    let Some(value) = value else { continue };
                    if *stage == "training" {
                        self.curves.dev.push((*step as f64, *value));
                    }
                    say(format_args!("{stage}: {} {value:.4} on the {}", metric.name(), metric.noun()));
                }
            }
            Event::Rounding { distance, rounds, .. } => say(format_args!(
                "int8 moves embeddings by a cosine distance of {distance:.4}: the training goes on {}",
                if *rounds { "rounded as int8" } else { "unrounded" }
            )),
            Event::Pruning { step, number, planned, sparsity } => {
                say(format_args!("step {step}: pruning {number} of {planned}, to {:.1} % zeros", sparsity * 1e2));
            }
            Event::Matrix { .. } => {}
            Event::Cut { layer, heads, neurons, hidden_error, seconds } => {
                let heads: Vec<String> = heads.iter().map(usize::to_string).collect();
                say(format_args!(
                    "layer {layer}: keeps heads {} and {neurons} neurons, in {seconds:.1} s; squared error of its output {hidden_error:.4}",
                    heads.join(", ")
                ));
            }
            Event::Layer { layer, hidden_error, seconds } => {
                say(format_args!(
                    "layer {layer}: pruned in {seconds:.1} s; squared error of its output {hidden_error:.4}"
                ));
            }
        }
    }

    /// The error that the log file gave, if one did: the run went on without it.
    pub(super) fn finish(self) -> Result<Curves> {
        match (self.failed, self.file) {
            (Some(source), Some((path, _))) => Err(Error::Io { path, action: "write", source }),
            _ => Ok(self.curves),
        }
    }
}

/// `12 min`, `40 s`.
pub(super) fn minutes(seconds: f64) -> String {
    if seconds < 100.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}
