//! `lacuna compare`: is this faster than what I use now, on my machine, and does it compute the same thing?
//!
//! The command starts a process per engine, has each check its result, watches its threads, and then times all of them in turn.
//! `engine` lists what can be compared, `engines` has the code of each, `measure` runs them in order, `row` and `report` present the
//! results. This crate is a part of the `lacuna` command, which passes it [`Args`]; the processes are the same executable, started
//! as `compare worker`.

#![deny(unsafe_code)]

mod deliver;
mod engine;
mod engines;
mod error;
mod exports;
mod field;
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
mod shared;
mod source;
mod sweep;
mod threads;
mod worker;

use clap::Subcommand;
use lacuna_console::context::Context;
use lacuna_console::error::Result;

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
    lacuna_console::interrupt::listen("finishing")?;
    match &args.what {
        What::Engines(args) => listing::run(args, context),
        What::Kernels(args) => kernels::run(args, context),
        What::Model(args) => model::run(args, context),
        What::Sweep(args) => sweep::run(args, context),
        What::Worker(args) => worker::run(args, context),
    }
}
