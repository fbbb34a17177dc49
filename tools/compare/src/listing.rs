//! `lacuna compare engines`: what is there, and how to get the rest.

use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::output::{print, print_json};
use lacuna_console::table::Table;
use serde::Serialize;

use super::engine::EngineId;
use super::field::{Presence, presence};
use super::launch::{Launch, NoAnswer, Worker};
use super::locate::Surroundings;
use super::options::Libraries;

/// Which engines are there, and how to get the others
///
/// Opens every engine in a process of its own, as a comparison would.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lacuna compare engines
  lacuna compare engines --onnxruntime ~/onnxruntime/lib/libonnxruntime.so

JSON: an array of objects with engine, dtype, kernels and models (whether it takes part there), available, version, file, found (how the file was \
found), reason (why it is not available, and how to get it).")]
pub(crate) struct Args {
    #[command(flatten)]
    libraries: Libraries,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line {
    engine: &'static str,
    dtype: &'static str,
    kernels: bool,
    models: bool,
    available: bool,
    version: Option<String>,
    file: Option<String>,
    found: Option<String>,
    reason: Option<String>,
}

/// How long opening may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let surroundings = Surroundings::of_process();
    let mut lines = Vec::new();
    for id in EngineId::all() {
        lines.push(line(id, args, context, &surroundings)?);
    }
    if args.json {
        return print_json(&lines);
    }
    let mut table = Table::new(&["<engine", "<dtype", "<kernels", "<models", "<version", "<where"]);
    let mark = |takes_part: bool| if takes_part { "yes" } else { "-" }.to_owned();
    for line in &lines {
        let place = match (&line.reason, &line.file, &line.found) {
            (Some(_), ..) => "not available, see below".to_owned(),
            (None, Some(file), Some(found)) => format!("{file} ({found})"),
            _ => "built in".to_owned(),
        };
        let version = line.version.clone().unwrap_or_else(|| "-".to_owned());
        let (engine, dtype) = (line.engine.to_owned(), line.dtype.to_owned());
        table.row([engine, dtype, mark(line.kernels), mark(line.models), version, place]);
    }
    let mut text = table.to_string();
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in &lines {
        let Some(reason) = &line.reason else { continue };
        match reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, engines)) => engines.push(line.engine),
            None => reasons.push((reason, vec![line.engine])),
        }
    }
    for (reason, engines) in reasons {
        text += &format!("\n{}: {reason}\n", engines.join(", "));
    }
    print(text)
}

fn line(id: EngineId, args: &Args, context: &Context, surroundings: &Surroundings) -> Result<Line> {
    let mut line = Line {
        engine: id.name(),
        dtype: id.dtype(),
        kernels: id.has_products(),
        models: id.has_models(),
        available: false,
        version: None,
        file: None,
        found: None,
        reason: None,
    };
    let library = match presence(id, &args.libraries, surroundings) {
        Ok(Presence::BuiltIn) => None,
        Ok(Presence::File(found)) => {
            line.file = Some(found.path.display().to_string());
            line.found = Some(found.source.to_string());
            Some(found.path)
        }
        Err(error) => {
            line.reason = Some(error.to_string());
            return Ok(line);
        }
    };
    let launch = Launch { engine: id, library, threads: 1, pin: Vec::new(), tier: context.tier, patience: PATIENCE };
    match Worker::start(launch) {
        Ok(worker) => (line.available, line.version) = (true, Some(worker.version.clone())),
        Err(NoAnswer::Interrupted) => return Err(Error::Interrupted),
        Err(NoAnswer::Failed(why) | NoAnswer::Lost(why)) => line.reason = Some(why),
    }
    Ok(line)
}
