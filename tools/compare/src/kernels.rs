//! `lacuna compare kernels`: single products.

use lacuna::Block;
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::products::shapes::{ShapeArgs, Shapes, SparsityArgs};
use lacuna_console::progress::Steps;

use super::deliver::{Target, deliver};
use super::engine::{EngineId, OutputKind};
use super::field::Field;
use super::launch::unexpected;
use super::measure::{Ready, measure};
use super::options::Rounds;
use super::protocol::{ProductSpec, Reply, Request};
use super::row::{Report, Subject};
use lacuna_console::interrupt;

use super::machine;

/// Sparse products compared with the dense ones of other libraries
///
/// Y = requantize(W X) with s8 weights W (M x K) of which a fraction of the blocks is zero, u8 activations X (K x N), and a
/// multiplier and an addend per output feature. Every engine gets the same seeded operands, in the layout that it likes best;
/// packing and reordering weights is not timed. Results are compared with the exact one before anything is timed.
#[derive(clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{}", super::shared::NOTES))]
pub(crate) struct Args {
    #[command(flatten)]
    shapes: ShapeArgs,

    #[command(flatten)]
    sparsity: SparsityArgs,

    /// Block shape of the zeros, outputs x inputs: 4x1, 8x1, 16x1, 1x4, 4x4, unstructured
    #[arg(long, default_value = "4x1")]
    block: Block,

    /// What is stored; f32 engines always store f32, and rten-gemm stores the sums
    #[arg(long, value_enum, default_value_t = OutputKind::U8)]
    output: OutputKind,

    #[command(flatten)]
    rounds: Rounds,
}

const EXAMPLES: &str = "\
Examples:
  lacuna compare kernels --m 768 --k 768,3072 --n 128 --sparsity 0.7,0.8,0.9
  lacuna compare kernels --grid paper --n 128 --engines lacuna,onednn --html kernels.html
  lacuna compare kernels --threads 1,2 --pin 0,1 --json > kernels.json";

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let Shapes { matrices, tokens } = args.shapes.shapes("spmm")?;
    let sparsities = args.shapes.sparsities(&args.sparsity);
    let target = Target::new(&args.rounds.options, args.rounds.html.as_deref())?;
    let mut field = Field::new(&args.rounds.options, context, EngineId::has_products)?;
    let mut report = Report::new(machine::facts(context)?, method(args));
    let threads = super::shared::thread_counts(context);
    let subjects = threads.len() * matrices.len() * sparsities.len() * tokens.len();
    let steps = Steps::new(subjects * args.rounds.effort.rounds);
    let mut done = 0;
    'all: for &threads in &threads {
        let mut slots = match field.start(threads) {
            Err(Error::Interrupted) => break 'all,
            slots => slots?,
        };
        for &(m, k) in &matrices {
            for &sparsity in &sparsities {
                for &n in &tokens {
                    let (block, output) = (args.block.name().to_owned(), args.output);
                    let spec =
                        ProductSpec { m, k, n, block: block.clone(), sparsity, output, seed: args.rounds.options.seed };
                    let subject = Subject::Product { m, k, n, block, sparsity, output: output.name().to_owned() };
                    let request = Request::Product(spec);
                    let rows = measure(&mut slots, &subject, args.rounds.effort, &steps, |slot| {
                        slot.with_worker(|worker| match worker.ask(&request)? {
                            Reply::ProductReady { implementation, agreement } => Ok(Ready {
                                implementation,
                                error: agreement.max(),
                                error_mean: agreement.mean(),
                                agrees: agreement.holds(),
                                note: (!agreement.holds()).then(|| {
                                    format!("off by {:.3} steps; expected at most {}", agreement.max(), agreement.bound)
                                }),
                            }),
                            other => Err(unexpected(&other)),
                        })
                    });
                    report.rows.extend(rows);
                    if interrupt::wanted() {
                        break 'all;
                    }
                    done += 1;
                    steps.at(done * args.rounds.effort.rounds);
                }
            }
        }
    }
    drop(steps);
    report.asked = field.asked_names();
    report.absent = field.absent;
    deliver(&report, &target)
}

fn method(args: &Args) -> Vec<String> {
    vec![
        "Y = requantize(W X): s8 weights, u8 activations, a multiplier and an addend per output feature. Weights are packed or \
         reordered outside of the timing; every engine has the layouts that suit it."
            .to_owned(),
        "Agreement is checked before anything is timed: the largest distance from the exact result, in steps of the 8-bit output, is at \
         most 0.6 where codes are stored (0.5 is perfect rounding) and 0.02 where f32 or sums are. What does not agree is not timed."
            .to_owned(),
        super::shared::interleaving(args.rounds.effort, &args.rounds.options),
    ]
}
