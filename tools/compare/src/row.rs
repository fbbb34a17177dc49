//! What was measured, as it is reported.

use std::collections::BTreeMap;

use lacuna_console::table::percent;
use lacuna_console::timing::Samples;
use serde::Serialize;

/// One engine on one subject. Figures of an engine that is out or that disagrees are null.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// The engine's name.
    pub(crate) engine: String,
    /// The version that it reports.
    pub(crate) version: String,
    /// The implementation that it reports using.
    pub(crate) implementation: String,
    /// Type of weights and activations.
    pub(crate) dtype: String,
    /// Threads asked for.
    pub(crate) threads: usize,
    /// Threads that were seen computing.
    pub(crate) threads_used: Option<usize>,
    /// CPU time over wall time while it ran: how many cores it kept busy.
    pub(crate) cores_busy: Option<f64>,
    /// CPUs that the engine was bound to, as the system lists them.
    pub(crate) pinned: Option<String>,
    /// What was run.
    #[serde(flatten)]
    pub(crate) subject: Subject,
    /// Median time of a product or batch, in microseconds.
    pub(crate) median_us: Option<f64>,
    /// The fastest sample.
    pub(crate) best_us: Option<f64>,
    /// Interquartile range over median.
    pub(crate) spread: Option<f64>,
    /// How many samples.
    pub(crate) samples: usize,
    /// Products: billions of operations per second, counting all weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gops_dense_equivalent: Option<f64>,
    /// Models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sequences_per_s: Option<f64>,
    /// Models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tokens_per_s: Option<f64>,
    /// Products: largest distance from the exact result, in steps of the 8-bit output. Models: 1 - the least cosine to the f32
    /// reference.
    pub(crate) error: Option<f64>,
    /// The same as a mean.
    pub(crate) error_mean: Option<f64>,
    /// Whether the error is within the bound.
    pub(crate) agrees: bool,
    /// How many times as long each dense baseline takes, as the median over samples taken in turn.
    pub(crate) ratios: BTreeMap<String, f64>,
    /// Between which values half of the rounds' ratios are.
    pub(crate) ratio_quartiles: BTreeMap<String, [f64; 2]>,
    /// What a reader should know: why there is no figure, a thread count that differs.
    pub(crate) note: Option<String>,
}

/// What an engine was given to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Subject {
    /// Y = W X.
    Product {
        /// M, output features.
        m: usize,
        /// K, input features.
        k: usize,
        /// N, tokens.
        n: usize,
        /// Block shape of the zeros.
        block: String,
        /// Fraction of blocks that are zero.
        sparsity: f64,
        /// `u8`, `s8` or `f32`.
        output: String,
    },
    /// A whole encoder, from token ids to embeddings.
    Model {
        /// Directory or preset.
        model: String,
        /// Sequences.
        batch: usize,
        /// Tokens of each.
        seq: usize,
        /// Fraction of blocks that are zero.
        sparsity: f64,
    },
}

/// Everything that a report shows.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    /// The command that made it, as typed.
    pub(crate) command: String,
    /// Facts of the machine: name and value.
    pub(crate) machine: Vec<(String, String)>,
    /// How it was measured: caches, pinning, samples, what agreement means.
    pub(crate) method: Vec<String>,
    /// The measurements, in the order they were taken.
    pub(crate) rows: Vec<Row>,
    /// Microseconds by kind of kernel of a whole model, per subject.
    pub(crate) breakdowns: Vec<Breakdown>,
    /// Engines that are not there, and how to get them.
    pub(crate) absent: Vec<(String, String)>,
    /// What was asked for: engines, or those of a library of which one must be measured.
    pub(crate) asked: Vec<Vec<&'static str>>,
}

/// Where the time of one model goes.
#[derive(Debug, Clone)]
pub(crate) struct Breakdown {
    /// Which engine.
    pub(crate) engine: String,
    /// What it ran.
    pub(crate) subject: Subject,
    /// Threads.
    pub(crate) threads: usize,
    /// Encoder layers of the model.
    pub(crate) layers: usize,
    /// Kind of kernel, and microseconds in the whole model.
    pub(crate) parts: Vec<(String, f64)>,
}

impl Row {
    /// Adds times and rates.
    pub(crate) fn time(&mut self, samples: &Samples) {
        let seconds = samples.median();
        self.median_us = Some(seconds * 1e6);
        self.best_us = Some(samples.best() * 1e6);
        self.spread = Some(samples.spread());
        match self.subject {
            Subject::Product { m, k, n, .. } => {
                self.gops_dense_equivalent = Some(2.0 * (m * k) as f64 * n as f64 / seconds * 1e-9);
            }
            Subject::Model { batch, seq, .. } => {
                self.sequences_per_s = Some(batch as f64 / seconds);
                self.tokens_per_s = Some((batch * seq) as f64 / seconds);
            }
        }
    }
}

impl Report {
    /// An engine that was asked for and has no result on some subject, with the reason; of several that stand for one library, if
    /// none has any.
    pub(crate) fn undone(&self) -> Option<(&str, &str)> {
        let failures = |engine: &str| {
            let lost = self.absent.iter().map(|(engine, why)| (engine.as_str(), why.as_str()));
            // What disagrees or takes more threads than it was given has its result: that it was not timed.
            let failed = self.rows.iter().filter(|row| row.median_us.is_none() && (row.error.is_none() || row.agrees));
            let failed = failed.map(|row| (row.engine.as_str(), row.note.as_deref().unwrap_or("no result")));
            let failed = failed.filter(|(_, why)| !why.ends_with("not timed"));
            lost.chain(failed).find(|(lost, _)| *lost == engine)
        };
        let has_result = |engine: &&str| self.rows.iter().any(|row| row.engine == **engine && row.error.is_some());
        self.asked.iter().find_map(|set| match &set[..] {
            [engine] => failures(engine),
            several if several.iter().any(has_result) => None,
            several => several.iter().find_map(|engine| failures(engine)),
        })
    }

    /// A report of the command that runs, without measurements.
    pub(crate) fn new(machine: Vec<(String, String)>, method: Vec<String>) -> Report {
        let (rows, breakdowns, absent, asked) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Report { command: command_line(std::env::args().skip(1)), machine, method, rows, breakdowns, absent, asked }
    }
}

/// A command as one would type it.
pub(crate) fn command_line(args: impl Iterator<Item = String>) -> String {
    let plain =
        |arg: &str| arg.chars().all(|c| c.is_ascii_alphanumeric() || "-_./,=:+@%".contains(c)) && !arg.is_empty();
    let quoted = |arg: String| if plain(&arg) { arg } else { format!("'{}'", arg.replace('\'', "'\\''")) };
    std::iter::once("lacuna".to_owned()).chain(args.map(quoted)).collect::<Vec<_>>().join(" ")
}

impl Subject {
    /// In a few words.
    pub(crate) fn text(&self) -> String {
        match self {
            Subject::Product { m, k, n, sparsity, block, output } => {
                format!("{m} x {k}, N={n}, {} zero in {block}, {output}", percent(Some(*sparsity)))
            }
            Subject::Model { model, batch, seq, sparsity } => {
                format!("{model}, {batch} x {seq} tokens, {} zero", percent(Some(*sparsity)))
            }
        }
    }
}
