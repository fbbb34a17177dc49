//! `lacuna doctor`: what this machine is, what runs on it, and how fast kernels can be at most.

mod cpus;
mod examine;
mod kernels;
mod report;
mod text;

use lacuna_console::context::Context;
use lacuna_console::error::Result;
use lacuna_console::output::{print, print_json};

/// Show what this machine has, which tier that gives, and how fast kernels can be at most
///
/// The facts of the machine are measured in 30 ms and kept in the user's cache folder, in a file per CPU, microcode and version.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lacuna doctor
  lacuna doctor --json
  LACUNA_MASK_FEATURES=avx512f lacuna doctor                as on a CPU without AVX-512

Facts are rates per cycle of one core, of 512-bit vectors if nothing else is said; cycles are those of a chain of additions. For CPUs \
of a known family the report has the family's recorded facts beside them. The table of kernels counts the instructions of the inner \
loops by the execution units that they need, for each 16 dot products. By the facts, that gives the greatest share of the VNNI peak \
that a kernel can reach. Epilogues, loops and cache misses come on top: `lacuna bench spmm` compares measured times with this bound.

On tiers without generated code there are neither facts nor bounds.

JSON: an object with version, cpu (name, model, microcode, family), tier (used, best, generates_code, higher: each tier above with \
what is missing, masked, and why), features (present, absent, masked), caches (bytes), cpus (threads and cores that may be used, \
threads of this command), facts (null where not measured), facts_from (file, measured or null), facts_file, recorded (facts of the \
family) and recorded_source (measured or tables), peak_instruction, peak_gops (by the facts; measured where there are none), kernels (kernel, counts per 16 dot products, bound_by, \
share_of_peak) and remarks.")]
pub(crate) struct Args {
    /// Measure the facts again, also if they were kept
    #[arg(long)]
    measure: bool,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let report = examine::examine(context, args.measure)?;
    match args.json {
        true => print_json(&report),
        false => print(text::text(&report)),
    }
}
