//! `lacuna evaluate`: what quantisation and pruning do to the answers of a model, on files with gold answers.

mod args;
mod measure;
pub(crate) mod measured;
mod pareto;
mod report;
mod schemes;
mod task_report;
mod tasks;
mod timing;

use lacuna::PackedModel;
use lacuna_console::context::{Context, pool};
use lacuna_console::error::Result;
use lacuna_console::output::{print, print_json};
use serde::Serialize;

pub(crate) use self::args::Args;
use lacuna_data::gold::{Labelled, Questions, RankedQueries, Tagged};

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    pool(context.threads())?.install(|| {
        check_packed(args)?;
        if !args.beside.is_empty() || args.pareto.is_some() {
            let found = pareto::pareto(args, context)?;
            show(args, &found, || found.text())
        } else if let Some(path) = &args.pairs {
            let found = measure::evaluate(args, path, context)?;
            show(args, &found, || found.text())
        } else if let Some(path) = &args.labelled {
            let found = tasks::evaluate::<Labelled>(args, path, context)?;
            show(args, &found, || found.text())
        } else if let Some(path) = &args.tagged {
            let found = tasks::evaluate::<Tagged>(args, path, context)?;
            show(args, &found, || found.text())
        } else if let Some(path) = &args.questions {
            let found = tasks::evaluate::<Questions>(args, path, context)?;
            show(args, &found, || found.text())
        } else {
            // clap guarantees that there is one of the files.
            let path = args.ranked.clone().unwrap_or_default();
            let found = tasks::evaluate::<RankedQueries>(args, &path, context)?;
            show(args, &found, || found.text())
        }
    })
}

/// Refuses what is no packed file before the first model is measured.
fn check_packed(args: &Args) -> Result<()> {
    let mut others = args.packed.iter().filter(|path| !PackedModel::is_packed(path).unwrap_or(false));
    others.try_for_each(|path| Ok(PackedModel::open(path).map(drop)?))
}

fn show<T: Serialize>(args: &Args, found: &T, text: impl FnOnce() -> String) -> Result<()> {
    match args.json {
        true => print_json(found),
        false => print(text()),
    }
}
