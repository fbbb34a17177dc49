//! What a run says while it goes on: progress lines, a log of JSON lines, and the points of the curves.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lacuna_compress::times::Times;
use lacuna_compress::{Event, Metric, OPTIONS, Observer, Plan, Stage};
use lacuna_console::error::{Error, Result};
use lacuna_console::interrupt;
use lacuna_console::progress::Spinner;
use lacuna_console::remarks::{say, warn};
use lacuna_data::words::dashed;

use super::words::{minutes, plan_text};
use crate::times::times_table;

/// Time between two lines of progress.
const LINE_EVERY: Duration = Duration::from_secs(10);

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
    deaf: Option<Error>,
    /// The stages that have not ended; a stage with events has no spinner.
    stages: Vec<(Stage, Option<Spinner>)>,
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
        Ok(Log { file, failed: None, deaf: None, stages: vec![], last: Instant::now(), curves: Curves::default() })
    }

    /// The error that the log file gave, or that the system gave when Ctrl-C was to be listened to: the run went on without.
    pub(super) fn finish(self) -> Result<Curves> {
        if let Some(error) = self.deaf {
            return Err(error);
        }
        match (self.failed, self.file) {
            (Some(source), Some((path, _))) => Err(Error::Io { path, action: "write", source }),
            _ => Ok(self.curves),
        }
    }
}

impl Observer for Log {
    fn begin(&mut self, stage: &Stage) {
        let spinner = (!stage.has_events()).then(|| Spinner::new(stage.to_string()));
        self.stages.push((stage.clone(), spinner));
    }

    fn end(&mut self) {
        // Until everything is read there is nothing to keep.
        if let Some((Stage::Texts, _)) = self.stages.pop() {
            self.deaf = interrupt::listen("keeping what was learned").err();
        }
    }

    fn remark(&mut self, text: &str) {
        say(dashed(text, &OPTIONS));
    }

    fn warning(&mut self, text: &str) {
        warn(dashed(text, &OPTIONS));
    }

    fn times(&mut self, times: &Times) {
        say(format_args!("{}\n{}", times.caption(), times_table(times)));
    }

    fn plan(&mut self, plan: &Plan) {
        say(plan_text(plan).trim_end());
    }

    fn event(&mut self, event: &Event) {
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
            _ => {}
        }
    }
}
