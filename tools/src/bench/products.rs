//! `lacuna bench spmm` and `lacuna bench gemm`: every shape checked, then timed.

use lacuna_kernels::epilogue::Epilogue;
use lacuna_kernels::{Block, KernelError};

use super::intrinsics::Intrinsics;
use super::options::{Bench, NOTES, Options};
use super::peak::Peak;
use super::problem::{Out, Weights, activations};
use super::product::{Kind, Product, ProductPlan, emission_time};
use super::report::{Row, Unit};
use super::shapes::{ShapeArgs, Shapes, SparsityArgs};
use crate::args;
use crate::context::Context;
use crate::error::Result;
use crate::progress::Steps;
use crate::timing::Work;

/// Sparse weights x dense activations
///
/// Y = W X with s8 weights W (M x K) of which a fraction of the blocks is zero, u8 activations X (K x N), and an epilogue. Every
/// shape is checked against the scalar reference, bit by bit, before it is timed.
#[derive(clap::Args)]
#[command(after_help = format!("{SPMM_EXAMPLES}\n\n{COLUMNS}\n\n{SPMM_COLUMNS}\n\n{NOTES}"))]
pub(super) struct SpmmArgs {
    #[command(flatten)]
    shapes: ShapeArgs,

    #[command(flatten)]
    sparsity: SparsityArgs,

    /// Block shape of the zeros, outputs x inputs; 4x1 has a kernel
    #[arg(long, default_value = "4x1")]
    block: Block,

    /// What happens to the accumulators [default: requant]
    #[arg(long, value_parser = args::epilogue, default_value = "requant", hide_default_value = true)]
    epilogue: Epilogue,

    /// Measure the kernel in compiler intrinsics beside the generated one
    #[arg(long)]
    intrinsics: bool,

    #[command(flatten)]
    options: Options,
}

/// Dense int8 weights x dense activations, the baseline
///
/// As `bench spmm`, with no zeros skipped.
#[derive(clap::Args)]
#[command(after_help = format!("{GEMM_EXAMPLES}\n\n{COLUMNS}\n\n{NOTES}"))]
pub(super) struct GemmArgs {
    #[command(flatten)]
    shapes: ShapeArgs,

    /// What happens to the accumulators [default: requant]
    #[arg(long, value_parser = args::epilogue, default_value = "requant", hide_default_value = true)]
    epilogue: Epilogue,

    #[command(flatten)]
    options: Options,
}

const SPMM_EXAMPLES: &str = "\
Examples:
  lacuna bench spmm --m 768 --k 768,3072 --n 128,384 --sparsity 0.7,0.8,0.9
  lacuna bench spmm --grid paper --json > before.json
  lacuna bench spmm --grid paper --baseline before.json
  lacuna bench spmm --grid short --intrinsics";

const GEMM_EXAMPLES: &str = "\
Example:
  lacuna bench gemm --m 768 --k 768,3072 --n 32,128";

const COLUMNS: &str = "\
Columns: median time of one product and its spread; GOP/s counting all weights, and counting the non-zero ones (a multiply or an \
add is one operation); the latter over the peak of this machine's 8-bit dot product (vpdpbusd), measured in the same process \
around each shape; bytes of code, and time to emit it. With several threads the peak is that of one thread times their number.

Epilogues: requant-{u8,s8}-{plain,vnni}, gelu-{u8,s8}-{plain,vnni}, f32, f32-residual, gelu-f32, gelu-f32-residual; \
requant and gelu alone stand for -u8-plain.

JSON: an array of objects with kernel, name, m, k, n, block, dtype, epilogue, sparsity, threads, caches (hot or cold), tier, \
median_us, spread, samples, gops_dense_equivalent, gops_nonzero, peak_gops, fraction_of_peak, code_bytes, emit_us, plan; with \
--baseline also baseline_us and ratio_to_baseline. CSV has the same columns.";

const SPMM_COLUMNS: &str = "\
With --intrinsics, sampled in turn with the generated kernel: intrinsics_us, and ratio_to_intrinsics, the time of the intrinsics \
over that of the generated code. It has the epilogues requant-{u8,s8}-plain, f32 and f32-residual, 4x1 blocks, one thread.";

/// What is measured.
struct Products<'a> {
    bench: Bench<'a>,
    kind: Kind,
    block: Block,
    epilogue: Epilogue,
    intrinsics: bool,
}

pub(super) fn spmm(args: &SpmmArgs, context: &Context) -> Result<()> {
    if args.block != Block::B4x1 {
        return Err(KernelError::Block { kernel: "spmm", found: args.block, expected: "4x1" }.into());
    }
    if args.intrinsics {
        Intrinsics::check(args.block, &args.epilogue, context)?;
    }
    let products = Products {
        bench: Bench::new(&args.options, context)?,
        kind: Kind::Spmm,
        block: args.block,
        epilogue: args.epilogue,
        intrinsics: args.intrinsics,
    };
    products.run(&args.shapes, &args.shapes.sparsities(&args.sparsity))
}

pub(super) fn gemm(args: &GemmArgs, context: &Context) -> Result<()> {
    let products = Products {
        bench: Bench::new(&args.options, context)?,
        kind: Kind::Gemm,
        block: Block::Dense,
        epilogue: args.epilogue,
        intrinsics: false,
    };
    products.run(&args.shapes, &[0.0])
}

impl Products<'_> {
    fn run(&self, shapes: &ShapeArgs, sparsities: &[f64]) -> Result<()> {
        let Shapes { matrices, tokens } = shapes.shapes(self.kind.name())?;
        let mut plans = Vec::with_capacity(matrices.len());
        for &(m, k) in &matrices {
            plans.push((m, k, self.kind.plan(m, k, self.epilogue, self.bench.context.isa())?));
        }
        self.bench.run(|| self.measure(&plans, sparsities, &tokens))
    }

    fn measure(&self, plans: &[(usize, usize, ProductPlan)], sparsities: &[f64], tokens: &[usize]) -> Result<Vec<Row>> {
        let steps = Steps::new(plans.len() * sparsities.len() * tokens.len());
        let mut rows = Vec::new();
        for &(m, k, plan) in plans {
            let emit = emission_time(&plan.key())?;
            for &sparsity in sparsities {
                let seed = self.bench.options.seed;
                let weights = Weights::seeded(m, k, self.block, sparsity, &self.epilogue, seed);
                let product = plan.compile(&weights)?;
                let intrinsics = match self.intrinsics {
                    true => Some(Intrinsics::new(&weights, self.epilogue, self.bench.context)?),
                    false => None,
                };
                for &n in tokens {
                    steps.begin(format!("M {m} K {k} N {n}, {:.1} % zero", sparsity * 1e2));
                    let mut row = Row::new(self.kind.name(), plan.name());
                    row.size("m", "M", m);
                    row.size("k", "K", k);
                    row.size("n", "N", n);
                    row.tag("block", None, self.block.name());
                    row.tag("dtype", None, "int8");
                    row.tag("epilogue", None, &self.epilogue.name());
                    row.sparsity(sparsity);
                    self.check_and_time(&mut row, &product, intrinsics.as_ref(), &weights, n)?;
                    row.code(product.code_bytes(), emit);
                    row.fact("plan", plan.describe());
                    rows.push(row);
                    steps.end();
                }
            }
        }
        Ok(rows)
    }

    /// Checks and times one product.
    fn check_and_time(
        &self,
        row: &mut Row,
        product: &Product,
        intrinsics: Option<&Intrinsics>,
        weights: &Weights,
        n: usize,
    ) -> Result<()> {
        let bench = &self.bench;
        let x = activations(weights.k, n, bench.options.seed.wrapping_add(1));
        let panel = x.to_panel(self.kind.input());
        let checked_rows = weights.checked_rows(n);
        let (mut out, mut intrinsics_out) =
            (Out::new(weights.m, n, &self.epilogue), Out::new(weights.m, n, &self.epilogue));
        product.run(&panel, n, out.as_output(), bench.parallel())?;
        let mut mismatch = out.check(weights, &x, &self.epilogue, &checked_rows);
        if let Some(intrinsics) = intrinsics {
            intrinsics.run(&panel, n, intrinsics_out.as_output())?;
            let wrong = intrinsics_out.check(weights, &x, &self.epilogue, &checked_rows);
            mismatch = mismatch.or(wrong.map(|wrong| format!("in intrinsics: {wrong}")));
        }
        drop(x);
        row.set_mismatch(mismatch);

        let mut samples = Vec::new();
        let mut peak = Peak::default();
        if row.mismatch().is_none() {
            let mut generated = || product.run(&panel, n, out.as_output(), bench.parallel());
            let mut other = intrinsics.map(|i| || i.run(&panel, n, intrinsics_out.as_output()));
            let mut works: Vec<&mut dyn Work> = vec![&mut generated];
            works.extend(other.as_mut().map(|other| other as &mut dyn Work));
            samples = bench.time(&mut works, || peak.measure(bench.context.isa()))?;
        }
        bench.timing(row, samples.first());
        let seconds = samples.first().map(|samples| samples.median());
        let gops = |weights: usize| seconds.map(|seconds| 2.0 * weights as f64 * n as f64 / seconds * 1e-9);
        row.figure("gops_dense_equivalent", Some("GOP/s dense"), gops(weights.m * weights.k), Unit::Decimals(0));
        row.figure("gops_nonzero", Some("GOP/s non-zero"), gops(weights.nnz()), Unit::Decimals(0));
        peak.report(row, gops(weights.nnz()), bench.threads);
        if self.intrinsics {
            let intrinsics = samples.get(1).map(|samples| samples.median());
            let ratio = intrinsics.zip(seconds).map(|(intrinsics, seconds)| intrinsics / seconds);
            row.figure("intrinsics_us", Some("intrinsics us"), intrinsics.map(|s| s * 1e6), Unit::Decimals(2));
            row.figure("ratio_to_intrinsics", Some("x intrinsics"), ratio, Unit::Ratio("-"));
        }
        Ok(())
    }
}
