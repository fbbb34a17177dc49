//! `lacuna compress`: from a dense model to a sparse one.

mod args;
mod auto;
mod card;
mod checks;
mod choose;
mod dev;
mod gradual;
mod heads;
mod identity;
mod log;
mod out;
mod page;
mod plan;
mod pruning;
mod reach;
mod run;
mod structure;
mod summary;
mod target;
mod texts;
mod training;

use lacuna_console::context::{Context, pool};
use lacuna_console::error::Result;
use lacuna_console::output::{print, print_json};

pub(crate) use self::args::Args;
pub(crate) use self::texts::{Texts, Used};

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let summary = pool(context.threads())?.install(|| run::compress(args, context))?;
    match args.json {
        true => print_json(&summary),
        false => print(summary.text()),
    }
}
