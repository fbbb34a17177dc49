//! `lacuna evaluate`: what quantisation and pruning do to the embeddings, on sentence pairs with gold scores.

mod args;
mod measure;
pub(crate) mod pairs;
mod report;
mod schemes;

use lacuna_console::context::{Context, pool};
use lacuna_console::error::Result;
use lacuna_console::output::{print, print_json};

pub(crate) use self::args::Args;

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let evaluation = pool(context.threads())?.install(|| measure::evaluate(args, context))?;
    match args.json {
        true => print_json(&evaluation),
        false => print(evaluation.text()),
    }
}
