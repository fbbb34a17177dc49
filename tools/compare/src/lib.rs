//! `lacuna compare`: is this faster than what I use now, on my machine, and does it compute the same thing?
//!
//! The command starts a process per engine, has each check its result, watches its threads, and then times all of them in turn.
//! `engine` says what can be compared, `engines` holds the code of each, `measure` the order of events, `row` and `report` what
//! comes out. This crate is a part of the `lacuna` command, which passes it [`Args`]; the processes are the same executable, started
//! as `compare worker`.

#![deny(unsafe_code)]

mod deliver;
mod engine;
mod engines;
mod error;
mod exports;
mod field;
mod interrupt;
mod kernels;
mod launch;
mod listing;
mod locate;
mod machine;
mod measure;
mod model;
mod onnx_file;
mod options;
mod protocol;
mod report;
mod row;
mod source;
mod sweep;
mod threads;
mod worker;

use clap::Subcommand;
use lacuna_console::context::Context;
use lacuna_console::error::Result;

use self::options::{Effort, Options};

/// Compare Lacuna with other engines, after checking that all compute the same
///
/// Every engine runs in its own process, on the requested number of threads, which is checked by watching its threads. Engines take
/// turns, so that a change in the speed of the machine affects all of them. Missing engines are listed, with how to get them.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lacuna compare engines
  lacuna compare kernels --m 768 --k 768,3072 --n 128 --sparsity 0.8,0.9 --html kernels.html
  lacuna compare model --arch minilm --seq 32,128 --threads 1,2
  lacuna compare sweep --arch minilm --seq 128 --limit-ms 10

Engines that are Rust crates are built in with `cargo build --release --package lacuna-tools --features engines`; oneDNN and ONNX \
Runtime are shared libraries, found at run time: `pip install onnxruntime onednn-cpu-gomp==2023.2.0` in an active virtual \
environment is enough.")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Engines(listing::Args),
    Kernels(kernels::Args),
    Model(model::Args),
    Sweep(sweep::Args),
    #[command(hide = true)]
    Worker(launch::WorkerArgs),
}

/// Runs the comparison that `args` name.
///
/// # Errors
/// Those of the models and of the files that take part; [`lacuna_console::error::Error::Check`] if one of Lacuna's own engines
/// disagrees; [`lacuna_console::error::Error::Interrupted`] after Ctrl-C.
pub fn run(args: &Args, context: &Context) -> Result<()> {
    if let What::Worker(args) = &args.what {
        return worker::run(args, context);
    }
    interrupt::listen()?;
    match &args.what {
        What::Engines(args) => listing::run(args, context),
        What::Kernels(args) => kernels::run(args, context),
        What::Model(args) => model::run(args, context),
        What::Sweep(args) => sweep::run(args, context),
        What::Worker(args) => worker::run(args, context),
    }
}

/// What kernels and model have in common, for help texts.
const NOTES: &str = "\
A row per engine and subject: engine, version, the implementation that it reports using, median time, spread (interquartile range over \
median), rate, how many times as long each dense engine takes (the median over rounds of samples taken in turn), and the error that \
was found before anything was timed. A row that disagrees is marked, not timed, and never counted as a win; so is an engine that \
keeps more cores busy than it was given threads. Exit status 1 if one of Lacuna's own engines disagrees, 130 after Ctrl-C, which prints what \
was measured until then.

JSON: an array of objects with engine, version, implementation, dtype, threads (asked for), threads_used (seen computing), cores_busy (CPU \
time over wall time), pinned, the subject (m, k, n, block, sparsity, output; or model, batch, seq, sparsity), median_us, best_us, spread, samples, \
gops_dense_equivalent (all weights count) or sequences_per_s and tokens_per_s, error and error_mean (products: distance from the exact \
result in steps of the 8-bit output; models: 1 - cosine to the f32 reference), agrees, ratios, note. CSV has the same columns, ratios as \
ratio_to_ENGINE.";

/// `--threads` as a list; one thread without.
fn thread_counts(context: &Context) -> Vec<usize> {
    match context.thread_counts() {
        [] => vec![1],
        counts => counts.to_vec(),
    }
}

/// How samples were taken, for reports.
fn interleaving(effort: Effort, options: &Options) -> String {
    let bound = match &options.pin[..] {
        [] => "not bound to CPUs".to_owned(),
        cpus => format!("bound to CPUs {}", threads::list(cpus)),
    };
    format!(
        "Every engine runs in a process of its own, {bound}, and waits while another is timed. Up to {} rounds or {} s per subject; in \
         a round every engine takes a few samples, hot. Times are medians of all samples, ratios medians over rounds.",
        effort.rounds, effort.budget
    )
}
