//! `lacuna bench spmm` and `lacuna bench gemm`: every shape checked, then timed.

use std::time::Duration;

use lacuna::Block;
use lacuna_kernels::epilogue::Epilogue;
use lacuna_kernels::{KernelError, Parallel};

use super::problem::{Out, Weights, activations};
use super::product::{Kind, Product, ProductPlan};
use super::shapes::{ShapeArgs, Shapes, SparsityArgs};
use super::table::{Format, Row, print_rows};
use super::{peak, threads_text};
use crate::args;
use crate::context::{Context, pool};
use crate::error::{Error, Result};
use crate::progress::Steps;
use crate::timing::Timed;

/// Sparse weights in 4x1 blocks x dense activations
///
/// Y = W X with s8 weights W (M x K) of which a fraction of the 4x1 blocks is zero, u8 activations X (K x N), and an epilogue.
/// Every shape is checked against the scalar reference, bit by bit, before it is timed.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct SpmmArgs {
    #[command(flatten)]
    shapes: ShapeArgs,

    #[command(flatten)]
    sparsity: SparsityArgs,

    /// Block shape of the zeros, outputs x inputs; 4x1 has a kernel
    #[arg(long, default_value = "4x1")]
    block: Block,

    #[command(flatten)]
    options: Options,
}

/// Dense int8 weights x dense activations, the baseline
///
/// As `bench spmm`, with no zeros skipped.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct GemmArgs {
    #[command(flatten)]
    shapes: ShapeArgs,

    #[command(flatten)]
    options: Options,
}

const AFTER_HELP: &str = "\
Columns: median time of one product; spread, the interquartile range over the median; GOP/s counting all weights, and \
counting the non-zero ones (a multiply or an add is one operation); the latter over the peak of this machine's 8-bit \
dot product (vpdpbusd), measured in the same process around each shape; bytes of code, and time to emit it. \
With several threads the peak is that of one thread times their number.

Epilogues: requant-{u8,s8}-{plain,vnni}, gelu-{u8,s8}-{plain,vnni}, f32, f32-residual, gelu-f32, gelu-f32-residual; \
requant and gelu alone stand for -u8-plain.

JSON: an array of objects with kernel, name, m, k, n, block, sparsity, threads, tier, median_us, gops_dense_equivalent, \
gops_nonzero, peak_gops, fraction_of_peak, code_bytes, emit_us, plan. CSV has the same columns.

Exit status 1 if a shape differs from the reference; it is marked and not timed.";

#[derive(clap::Args)]
struct Options {
    /// What happens to the accumulators [default: requant]
    #[arg(long, value_parser = args::epilogue, default_value = "requant", hide_default_value = true)]
    epilogue: Epilogue,

    /// Seed of weights and activations
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Samples per shape, of which the median counts
    #[arg(long, value_name = "R", default_value_t = 100, value_parser = args::at_least_one)]
    repeats: usize,

    /// Print as JSON
    #[arg(long, conflicts_with = "csv")]
    json: bool,

    /// Print as CSV
    #[arg(long)]
    csv: bool,
}

/// What is measured.
struct Bench<'a> {
    kind: Kind,
    options: &'a Options,
    context: &'a Context,
    threads: usize,
}

pub(super) fn spmm(args: &SpmmArgs, context: &Context) -> Result<()> {
    if args.block != Block::B4x1 {
        return Err(KernelError::Block { kernel: "spmm", found: args.block, expected: "4x1" }.into());
    }
    let sparsities = args.shapes.sparsities(&args.sparsity);
    Bench::new(Kind::Spmm, &args.options, context).run(&args.shapes, &sparsities)
}

pub(super) fn gemm(args: &GemmArgs, context: &Context) -> Result<()> {
    Bench::new(Kind::Gemm, &args.options, context).run(&args.shapes, &[0.0])
}

impl<'a> Bench<'a> {
    fn new(kind: Kind, options: &'a Options, context: &'a Context) -> Bench<'a> {
        Bench { kind, options, context, threads: context.measuring_threads() }
    }

    fn run(&self, shapes: &ShapeArgs, sparsities: &[f64]) -> Result<()> {
        let Shapes { matrices, tokens } = shapes.shapes(self.kind.name())?;
        let mut plans = Vec::with_capacity(matrices.len());
        for &(m, k) in &matrices {
            plans.push((m, k, self.kind.plan(m, k, self.options.epilogue, self.context.isa())?));
        }
        let rows = pool(self.threads)?.install(|| self.measure(&plans, sparsities, &tokens))?;
        let format = match (self.options.json, self.options.csv) {
            (true, _) => Format::Json,
            (_, true) => Format::Csv,
            _ => Format::Table,
        };
        print_rows(&rows, format, &self.heading())?;
        let wrong: Vec<&Row> = rows.iter().filter(|row| row.mismatch.is_some()).collect();
        match wrong.first().map(|row| (row, &row.mismatch)) {
            Some((row, Some(mismatch))) => Err(Error::Check(format!(
                "{} of {} shapes differ from the reference, the first {} with N = {}: {mismatch}",
                wrong.len(),
                rows.len(),
                row.name,
                row.n
            ))),
            _ => Ok(()),
        }
    }

    fn heading(&self) -> String {
        let peak = match self.threads {
            1 => String::new(),
            threads => format!("; peak: {threads} x that of one thread"),
        };
        format!(
            "{}, tier {}, {}, hot weights and activations, medians of {} samples{peak}",
            lacuna_jit::cpu::brand(),
            self.context.tier,
            threads_text(self.threads),
            self.options.repeats
        )
    }

    fn measure(&self, plans: &[(usize, usize, ProductPlan)], sparsities: &[f64], tokens: &[usize]) -> Result<Vec<Row>> {
        let steps = Steps::new(plans.len() * sparsities.len() * tokens.len());
        let mut rows = Vec::new();
        for &(m, k, plan) in plans {
            let emit = plan.emission_time()?;
            for &sparsity in sparsities {
                let weights = Weights::seeded(m, k, sparsity, &self.options.epilogue, self.options.seed);
                let product = plan.compile(&weights)?;
                for &n in tokens {
                    steps.begin(format!("M {m} K {k} N {n}, {:.1} % zero", sparsity * 1e2));
                    let mut row = self.row(&plan, &product, &weights, n)?;
                    row.sparsity = sparsity;
                    row.emit_us = emit.as_secs_f64() * 1e6;
                    rows.push(row);
                    steps.end();
                }
            }
        }
        Ok(rows)
    }

    /// Checks and times one product.
    fn row(&self, plan: &ProductPlan, product: &Product, weights: &Weights, n: usize) -> Result<Row> {
        let epilogue = &self.options.epilogue;
        let (m, k) = (weights.m, weights.k);
        let parallel = if self.threads == 1 { Parallel::Serial } else { Parallel::Rayon };
        let x = activations(k, n, self.options.seed.wrapping_add(1));
        let panel = x.to_panel(self.kind.input());
        let mut out = Out::new(m, n, epilogue);
        product.run(&panel, n, out.as_output(), parallel)?;
        let mismatch = out.check(weights, &x, epilogue, &weights.checked_rows(n));
        drop(x);

        let mut row = Row {
            kernel: self.kind.name(),
            name: plan.name(),
            m,
            k,
            n,
            block: self.kind.block(),
            sparsity: 0.0,
            threads: self.threads,
            tier: self.context.tier.name(),
            median_us: None,
            gops_dense_equivalent: None,
            gops_nonzero: None,
            peak_gops: None,
            fraction_of_peak: None,
            code_bytes: product.code_bytes(),
            emit_us: 0.0,
            plan: plan.describe(),
            spread: None,
            mismatch,
        };
        if row.mismatch.is_none() {
            let call = || product.run(&panel, n, out.as_output(), parallel);
            self.time(&mut row, weights.nnz(), call)?;
        }
        Ok(row)
    }

    fn time(&self, row: &mut Row, nnz: usize, call: impl FnMut() -> Result<()>) -> Result<()> {
        let isa = self.context.isa();
        let mut timed = Timed::new(call, WARM_UP)?;
        let mut peaks = Vec::with_capacity(PEAKS);
        for part in 0..PEAKS {
            peaks.extend(peak::gops(isa, peak::RUNS_PER_SHAPE)?);
            let samples = self.options.repeats * (part + 1) / PEAKS - self.options.repeats * part / PEAKS;
            (0..samples).try_for_each(|_| timed.sample())?;
        }
        let seconds = timed.samples().median();
        let gops = |weights: usize| 2.0 * weights as f64 * row.n as f64 / seconds * 1e-9;
        let peak = peaks.into_iter().reduce(f64::max).map(|peak| peak * self.threads as f64);
        row.gops_dense_equivalent = Some(gops(row.m * row.k));
        row.gops_nonzero = Some(gops(nnz));
        row.fraction_of_peak = peak.map(|peak| gops(nnz) / peak);
        row.peak_gops = peak;
        row.median_us = Some(seconds * 1e6);
        row.spread = Some(timed.samples().spread());
        Ok(())
    }
}

/// How long a kernel runs before it is timed.
const WARM_UP: Duration = Duration::from_millis(5);
/// How often the peak is measured while a shape is; the best counts, because noise only ever slows it down.
const PEAKS: usize = 4;
