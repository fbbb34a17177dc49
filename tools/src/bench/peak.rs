//! `lacuna bench peak`: what this machine's 8-bit dot product can do at most.

use lacuna_jit::{Avx512Bf16, Isa};
use lacuna_kernels::float::peak::{bf16_gflops, f32_gflops};
use lacuna_kernels::peak::vnni_gops;
use serde::Serialize;

use super::report::{Row, Unit};
use crate::context::Context;
use crate::error::Result;
use crate::output::{print, print_json};
use crate::stats::median;
use crate::table::number;

/// The peak of vpdpbusd, which kernel speeds are compared with
///
/// Runs a generated loop of independent 512-bit dot products, in registers only, on one thread.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  lacuna bench peak --json

One operation is one multiply or one add of 8-bit numbers. Where code is not generated (another tier) there is no peak.")]
pub(super) struct Args {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    cpu: String,
    tier: &'static str,
    /// Best of all runs.
    peak_gops: Option<f64>,
    /// Median of groups of runs: how steady the machine is.
    median_gops: Option<f64>,
}

/// Runs of 50 us each time the peak is measured beside a shape.
const RUNS_PER_SHAPE: usize = 8;
/// Groups of runs when the peak is all that is asked for.
const GROUPS: usize = 25;

/// What kernels are compared with: the instruction that does most of their work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// `vpdpbusd`.
    Vnni,
    /// `vdpbf16ps`.
    Bf16,
    /// `vfmadd231ps`.
    Fma,
}

impl Limit {
    /// The best of `runs` runs, in billions of operations per second; nothing on tiers without generated code and on CPUs without
    /// the instruction.
    fn giga(self, isa: Isa, runs: usize) -> Result<Option<f64>> {
        let Isa::Avx512Vnni(proof) = isa else { return Ok(None) };
        Ok(match self {
            Limit::Vnni => Some(vnni_gops(proof, runs)?),
            Limit::Fma => Some(f32_gflops(proof, runs)?),
            Limit::Bf16 => match Avx512Bf16::detect() {
                Some(proof) => Some(bf16_gflops(proof, runs)?),
                None => None,
            },
        })
    }
}

/// The best rate seen so far: noise only ever slows a run down.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peak {
    limit: Limit,
    best: Option<f64>,
}

impl Peak {
    pub(super) fn new(limit: Limit) -> Peak {
        Peak { limit, best: None }
    }

    /// Measures it once more.
    pub(super) fn measure(&mut self, isa: Isa) -> Result<()> {
        self.best = self.best.into_iter().chain(self.limit.giga(isa, RUNS_PER_SHAPE)?).reduce(f64::max);
        Ok(())
    }

    /// Adds the peak of `threads` threads to a row, and the fraction of it that `gops` is.
    pub(super) fn report(&self, row: &mut Row, gops: Option<f64>, threads: usize) {
        let peak = self.best.map(|peak| peak * threads as f64);
        row.figure("peak_gops", None, peak, Unit::Decimals(0));
        let fraction = gops.zip(peak).map(|(gops, peak)| gops / peak);
        row.figure("fraction_of_peak", Some("of peak"), fraction, Unit::Percent);
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let mut groups = Vec::new();
    for _ in 0..GROUPS {
        groups.extend(Limit::Vnni.giga(context.isa(), RUNS_PER_SHAPE)?);
    }
    let known = !groups.is_empty();
    let peak = Report {
        cpu: lacuna_jit::cpu::brand(),
        tier: context.tier.name(),
        peak_gops: groups.iter().copied().reduce(f64::max),
        median_gops: known.then(|| median(&mut groups)),
    };
    if args.json {
        return print_json(&peak);
    }
    print(format_args!(
        "{}, tier {}\nvpdpbusd, 1 thread: {} GOP/s (median {})\n",
        peak.cpu,
        peak.tier,
        number(peak.peak_gops, 0),
        number(peak.median_gops, 0)
    ))
}
