//! `lacuna analyze`: what pruning each matrix would cost, and how fast the model would be, before an hour is spent.

mod args;
mod measure;
mod report;

use lacuna_console::context::{Context, pool};
use lacuna_console::error::Result;
use lacuna_console::output::{print, print_json};

pub(crate) use self::args::Args;

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let report = pool(context.threads())?.install(|| measure::analyze(args, context))?;
    match args.json {
        true => print_json(&report),
        false => print(report.text()),
    }
}
