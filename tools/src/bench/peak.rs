//! `lacuna bench peak`: what this machine can do at most.

use lacuna_console::context::Context;
use lacuna_console::error::Result;
use lacuna_console::limits::{Bandwidth, Limit, RUNS};
use lacuna_console::output::{print, print_json};
use lacuna_console::progress::Steps;
use lacuna_console::stats::median;
use lacuna_console::table::{Table, number};
use lacuna_jit::Isa;
use serde::Serialize;

/// What this machine can do at most, which kernel speeds are compared with
///
/// Runs generated loops on one thread: independent 512-bit multiply-adds of each data type in registers only, and 512-bit loads and
/// stores of buffers of several sizes.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  lacuna bench peak --json

One operation is one multiply or one add. Bandwidths count what is read and what is written; 'copy' reads one half of \
the buffer and writes the other, 'update' writes what it read. Where code is not generated (another tier) there are no \
limits, and none of vdpbf16ps where the CPU lacks it.

JSON: an object with cpu, tier, peak_gops and median_gops (of vpdpbusd), and limits: name, bytes (of the buffer, or \
null), best (of all runs), median (of the best of groups of runs: how steady the machine is), unit.")]
pub(super) struct Args {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    cpu: String,
    tier: &'static str,
    peak_gops: Option<f64>,
    median_gops: Option<f64>,
    limits: Vec<Reported>,
}

#[derive(Serialize)]
struct Reported {
    name: &'static str,
    bytes: Option<usize>,
    best: Option<f64>,
    median: Option<f64>,
    unit: &'static str,
}

/// Groups of runs when the limits are all that is asked for.
const GROUPS: usize = 15;
/// Buffers: in the first cache, in the second, in the third or memory.
const BUFFERS: [usize; 3] = [16 << 10, 256 << 10, 8 << 20];

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let isa = context.isa();
    let mut rates: Vec<Rate> = Limit::ALL.into_iter().map(|limit| Rate::new(Source::Instruction(limit))).collect();
    for bytes in BUFFERS {
        rates.extend(Bandwidth::ALL.map(|bandwidth| Rate::new(Source::Memory(bandwidth, bytes))));
    }
    let steps = Steps::new(GROUPS);
    for _ in 0..GROUPS {
        steps.begin("all in turn");
        for rate in &mut rates {
            rate.groups.extend(rate.source.measure(isa)?);
        }
        steps.end();
    }
    drop(steps);
    let limits: Vec<Reported> = rates.into_iter().map(|rate| rate.report(isa)).collect();
    let vnni = &limits[0];
    let report = Report {
        cpu: lacuna_jit::cpu::brand(),
        tier: context.tier.name(),
        peak_gops: vnni.best,
        median_gops: vnni.median,
        limits,
    };
    if args.json {
        return print_json(&report);
    }
    let mut table = Table::new(&["<limit", "buffer", "best", "median", "<unit"]);
    for Reported { name, bytes, best, median, unit } in &report.limits {
        let buffer = bytes.map_or_else(|| "-".to_owned(), lacuna_console::table::bytes);
        table.row([(*name).to_owned(), buffer, number(*best, 0), number(*median, 0), (*unit).to_owned()]);
    }
    print(format_args!("{}, tier {}, 1 thread\n\n{table}", report.cpu, report.tier))
}

/// What a rate is measured of.
#[derive(Debug, Clone, Copy)]
enum Source {
    Instruction(Limit),
    Memory(Bandwidth, usize),
}

impl Source {
    fn measure(self, isa: Isa) -> Result<Option<f64>> {
        match self {
            Source::Instruction(limit) => limit.giga(isa, RUNS),
            Source::Memory(bandwidth, bytes) => bandwidth.gb_per_s(isa, bytes, RUNS),
        }
    }
}

/// A rate under way: the best of each group of runs.
struct Rate {
    source: Source,
    groups: Vec<f64>,
}

impl Rate {
    fn new(source: Source) -> Rate {
        Rate { source, groups: Vec::with_capacity(GROUPS) }
    }

    fn report(mut self, isa: Isa) -> Reported {
        let (name, bytes, unit) = match self.source {
            Source::Instruction(limit @ (Limit::Dots | Limit::Dots7)) => (limit.instruction(isa), None, "GOP/s"),
            Source::Instruction(limit) => (limit.instruction(isa), None, "GFLOP/s"),
            Source::Memory(Bandwidth::Load, bytes) => ("load", Some(bytes), "GB/s"),
            Source::Memory(Bandwidth::Copy, bytes) => ("copy", Some(bytes), "GB/s"),
            Source::Memory(Bandwidth::Update, bytes) => ("update", Some(bytes), "GB/s"),
        };
        let best = self.groups.iter().copied().reduce(f64::max);
        Reported { name, bytes, best, median: best.map(|_| median(&mut self.groups)), unit }
    }
}
