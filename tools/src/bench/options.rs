//! Options that all kernel benchmarks share.

use std::path::PathBuf;

use lacuna_console::args;
use lacuna_console::context::{Context, pool};
use lacuna_console::error::{Error, Result};
use lacuna_console::table::plural;
use lacuna_kernels::Parallel;

use super::baseline::Baseline;
use super::evict::Evictor;
use super::report::{Format, Row, print_rows};

/// How a kernel is measured and its rows are printed.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Seed of weights and activations
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,

    /// Samples per shape, of which the median counts
    #[arg(long, value_name = "R", default_value_t = 100, value_parser = args::at_least_one)]
    pub(super) repeats: usize,

    /// Empty all caches before every sample, so that weights and activations come from memory
    #[arg(long)]
    pub(super) cold: bool,

    /// Compare with an earlier run: a file that --json printed
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// Print as JSON
    #[arg(long, conflicts_with = "csv")]
    json: bool,

    /// Print as CSV
    #[arg(long)]
    csv: bool,
}

/// What the options' columns mean, for help texts.
pub(super) const NOTES: &str = "\
Every shape is checked against the scalar reference before it is timed; exit status 1 if one differs, which is marked and not \
timed. Spread is the interquartile range over the median.

Hot: what a call reads is where the call before left it. With --cold, every core in use reads a buffer larger than the last \
cache before each sample, and a sample is one call.

With --baseline every row of the earlier run that has the same kernel, shape, data types, sparsity, threads and cache state \
gives a ratio, old time over new: above 1 is faster now. Rows without such a row say so.";

/// A benchmark under way: its options, on this machine.
pub(super) struct Bench<'a> {
    pub(super) options: &'a Options,
    pub(super) context: &'a Context,
    pub(super) threads: usize,
    baseline: Option<Baseline>,
    pub(super) evictor: Option<Evictor>,
}

impl<'a> Bench<'a> {
    /// Reads the baseline, so that a bad one is refused before anything is measured.
    pub(super) fn new(options: &'a Options, context: &'a Context) -> Result<Bench<'a>> {
        let baseline = options.baseline.as_deref().map(Baseline::read).transpose()?;
        let evictor = options.cold.then(Evictor::new);
        Ok(Bench { options, context, threads: context.measuring_threads(), baseline, evictor })
    }

    /// Runs `measure` in a pool of `--threads` workers and prints its rows.
    ///
    /// # Errors
    /// Those of `measure` and of [`Bench::finish`].
    pub(super) fn run(&self, measure: impl FnOnce() -> Result<Vec<Row>> + Send) -> Result<()> {
        self.finish(self.measure(measure)?)
    }

    /// Runs `measure` in a pool of `--threads` workers.
    pub(super) fn measure(&self, measure: impl FnOnce() -> Result<Vec<Row>> + Send) -> Result<Vec<Row>> {
        pool(self.threads)?.install(measure)
    }

    /// Prints rows, all in one table.
    ///
    /// # Errors
    /// [`Error::Check`], after everything is printed, if a row differs from the reference.
    pub(super) fn finish(&self, mut rows: Vec<Row>) -> Result<()> {
        if let Some(baseline) = &self.baseline {
            baseline.compare(&mut rows);
        }
        let format = match (self.options.json, self.options.csv) {
            (true, _) => Format::Json,
            (_, true) => Format::Csv,
            _ => Format::Table,
        };
        print_rows(&rows, format, &self.heading())?;
        let wrong: Vec<&str> = rows.iter().filter_map(Row::mismatch).collect();
        match wrong.first() {
            Some(first) => Err(Error::Check(format!(
                "{} of {} shapes differ from the reference, the first {first}",
                wrong.len(),
                rows.len()
            ))),
            None => Ok(()),
        }
    }

    /// How kernels are called.
    pub(super) fn parallel(&self) -> Parallel<'_> {
        if self.threads == 1 { Parallel::Serial } else { Parallel::Rayon }
    }

    /// The state of the caches, for rows.
    pub(super) fn caches(&self) -> &'static str {
        if self.options.cold { "cold" } else { "hot" }
    }

    fn heading(&self) -> String {
        let caches = match &self.evictor {
            None => "hot weights and activations".to_owned(),
            Some(evictor) => format!("cold weights and activations ({evictor} read before each sample)"),
        };
        let limits = match self.threads {
            1 => String::new(),
            threads => format!("; limits: {threads} x those of one thread"),
        };
        let baseline = self.baseline.as_ref().map_or_else(String::new, |baseline| format!("; baseline: {baseline}"));
        format!(
            "{}, tier {}, {}, {caches}, medians of {}{limits}{baseline}",
            lacuna_jit::cpu::brand(),
            self.context.tier,
            plural(self.threads, "thread"),
            plural(self.options.repeats, "sample")
        )
    }
}
