//! `lacuna inspect`: what a model directory or a packed file holds, and what would be generated for it.

mod args;
mod checkpoint;
mod head;
mod packed;

use lacuna_console::context::{Context, pool};
use lacuna_console::error::Result;

pub(crate) use args::Args;

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    match pool(context.threads())?.install(|| args.model.open_packed())? {
        Some(model) => packed::inspect(args, &model, context),
        None => checkpoint::inspect(args, context),
    }
}
