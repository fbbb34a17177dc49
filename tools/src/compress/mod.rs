//! `lacuna compress`: from a dense model to a sparse one. The work is that of the crate `lacuna-compress`.

mod args;
mod log;
mod page;
mod words;

use lacuna_compress::{Error as CompressError, OPTIONS, Stop, Summary, prepare};
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::interrupt;
use lacuna_console::output::{Target, print, print_json};
use lacuna_data::words::dashed;

pub(crate) use self::args::Args;
use self::log::Log;
use self::page::page;
use self::words::text;
use crate::command::quoted;
use crate::packed::{needs_weights, open};

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let summary = compress(args, context)?;
    match args.json {
        true => print_json(&summary),
        false => print(text(&summary)),
    }
}

fn compress(args: &Args, context: &Context) -> Result<Summary> {
    let options = args.options(context, command());
    options.check().map_err(in_words)?;
    let html = args.html.as_deref().map(|path| Target::new(Some(path))).transpose()?;
    if let Some(path) = args.source.packed_path()? {
        return Err(needs_weights(&open(path)?, "lacuna compress", "give the model's folder"));
    }
    let prepared = prepare(&options).map_err(in_words)?;
    let mut log = Log::new(args.log.as_deref(), args.resume)?;
    let model = args.source.folder()?.unwrap_or_default(); // clap guarantees that there is one
    let summary = prepared.run(&model, &mut log, Stop::keeping(interrupt::flag())).map_err(in_words)?;
    let curves = log.finish()?;
    if let Some(html) = html {
        html.write(|out| out.write_all(page(&summary, &curves).as_bytes()))?;
    }
    Ok(summary)
}

/// An error with options as the command spells them.
pub(crate) fn in_words(error: CompressError) -> Error {
    match error {
        CompressError::Library(error) => error.into(),
        other => Error::Said(dashed(&other.to_string(), &OPTIONS)),
    }
}

/// The command, as it is given again.
fn command() -> String {
    let words: Vec<String> = std::env::args().skip(1).map(|word| quoted(&word)).collect();
    format!("lacuna {}", words.join(" "))
}
