//! `lacuna bench open`: how long a packed model takes until it can run.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use lacuna::PackedModel;
use lacuna::report::LoadReport;
use lacuna_console::args;
use lacuna_console::context::{Context, pool};
use lacuna_console::error::Result;
use lacuna_console::output::{print, print_json};
use lacuna_console::table::{Table, bytes, number};
use serde::Serialize;

/// Opening a packed model
///
/// From the name of the file to an encoder that can run: mapped, verified, tokenizer read, code generated. The first, which may
/// have to read the file from the disk, is left out.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lacuna bench open --model minilm.lacuna
  lacuna bench open --model minilm.lacuna --threads 2 --json

Times are medians, in ms. map: mapping the file and reading its manifest; verify: checksums, checks and tokenizer; plan, emit and \
seal: generating code; total: from the name to the encoder, which is more than their sum by what lies between.")]
pub(super) struct Args {
    /// The packed model
    #[arg(long, value_name = "FILE")]
    model: PathBuf,

    /// How often it is opened
    #[arg(long, value_name = "R", default_value_t = 11, value_parser = args::at_least_one)]
    repeats: usize,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Opening {
    model: String,
    cpu: String,
    tier: &'static str,
    threads: usize,
    bytes: usize,
    repeats: usize,
    phases: Vec<Phase>,
    total_ms: f64,
}

#[derive(Serialize)]
struct Phase {
    name: &'static str,
    ms: f64,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let threads = context.measuring_threads();
    let opening = pool(threads)?.install(|| measure(args, context, threads))?;
    if args.json {
        return print_json(&opening);
    }
    let headings: Vec<&str> = ["<model", "size", "threads"]
        .into_iter()
        .chain(opening.phases.iter().map(|phase| phase.name))
        .chain(["total ms"])
        .collect();
    let mut table = Table::new(&headings);
    let times = opening.phases.iter().map(|phase| phase.ms).chain([opening.total_ms]);
    let first = [opening.model.clone(), bytes(opening.bytes), threads.to_string()];
    table.row(first.into_iter().chain(times.map(|ms| number(Some(ms), 2))));
    print(format!("{} ({}), median of {}\n\n{table}", opening.cpu, opening.tier, opening.repeats))
}

fn measure(args: &Args, context: &Context, threads: usize) -> Result<Opening> {
    let once = || -> Result<(Duration, LoadReport, usize)> {
        let start = Instant::now();
        let model = PackedModel::open(&args.model)?;
        let encoder = model.compiler().tier(context.tier).compile()?;
        let total = start.elapsed();
        Ok((total, encoder.report().clone(), model.file_bytes()))
    };
    let (_, report, bytes) = once()?; // the pages come from the disk, the allocator grows
    let runs = (0..args.repeats).map(|_| once()).collect::<Result<Vec<_>>>()?;
    let phase = |phase: &lacuna::report::Phase| Phase {
        name: phase.name,
        ms: median(runs.iter().map(|(_, report, _)| report.phase(phase.name))),
    };
    Ok(Opening {
        model: args.model.display().to_string(),
        cpu: report.cpu.clone(),
        tier: report.tier,
        threads,
        bytes,
        repeats: args.repeats,
        phases: report.phases.iter().map(phase).collect(),
        total_ms: median(runs.iter().map(|(total, ..)| *total)),
    })
}

/// In milliseconds; of an even number the upper one in the middle.
fn median(times: impl Iterator<Item = Duration>) -> f64 {
    let mut times: Vec<f64> = times.map(|time| time.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
