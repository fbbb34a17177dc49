//! `lacuna bench spmm` and `lacuna bench gemm`: every shape checked, then timed.

use lacuna_console::context::Context;
use lacuna_console::error::Result;
use lacuna_console::machine;
use lacuna_console::products::call::{Products, Variant};
use lacuna_console::products::int8::TuningArg;
use lacuna_console::products::shapes::{ShapeArgs, Shapes, SparsityArgs};
use lacuna_console::progress::Steps;
use lacuna_console::timing::{Samples, Work};
use lacuna_kernels::Block;
use lacuna_kernels::machine::{Bound, Executed, Facts};

use super::limits::Peak;
use super::options::{Bench, NOTES, Options};
use super::product::{BenchPlan, DTypeArg, EpilogueArg, Kind, ProductOptions, emission_time};
use super::report::{Row, Unit};

/// Sparse weights x dense activations
///
/// Y = W X with weights W (M x K) of which a fraction of the blocks is zero, activations X (K x N), and an epilogue. Every shape is
/// checked against the scalar reference before it is timed: int8 bit by bit, floats within their rounding errors.
#[derive(clap::Args)]
#[command(after_help = format!("{SPMM_EXAMPLES}\n\n{COLUMNS}\n\n{SPMM_COLUMNS}\n\n{NOTES}"))]
pub(super) struct SpmmArgs {
    #[command(flatten)]
    shapes: ShapeArgs,

    #[command(flatten)]
    sparsity: SparsityArgs,

    /// Block shape of the zeros, outputs x inputs: 4x1, 8x1, 16x1, 1x4, 4x4, unstructured
    #[arg(long, default_value = "4x1")]
    block: Block,

    /// Type of weights and activations
    #[arg(long, value_enum, default_value_t = DTypeArg::Int8)]
    dtype: DTypeArg,

    /// What happens to the sums [default: requant for int8, f32 for the others]
    #[arg(long, value_parser = EpilogueArg::parse)]
    epilogue: Option<EpilogueArg>,

    /// Measure all plans that the planner considers, not only the one it picks
    #[arg(long)]
    candidates: bool,

    /// How the planner picks a schedule for int8 [default: fast]
    #[arg(long, value_enum)]
    tuning: Option<TuningArg>,

    /// Also measure the kernel in compiler intrinsics
    #[arg(long)]
    intrinsics: bool,

    #[command(flatten)]
    options: Options,
}

/// Dense weights x dense activations
///
/// As `bench spmm`, with no zeros skipped.
#[derive(clap::Args)]
#[command(after_help = format!("{GEMM_EXAMPLES}\n\n{COLUMNS}\n\n{NOTES}"))]
pub(super) struct GemmArgs {
    #[command(flatten)]
    shapes: ShapeArgs,

    /// Type of weights and activations
    #[arg(long, value_enum, default_value_t = DTypeArg::Int8)]
    dtype: DTypeArg,

    /// What happens to the sums [default: requant for int8, f32 for the others]
    #[arg(long, value_parser = EpilogueArg::parse)]
    epilogue: Option<EpilogueArg>,

    /// Measure all plans that the planner considers, not only the one it picks
    #[arg(long)]
    candidates: bool,

    #[command(flatten)]
    options: Options,
}

const SPMM_EXAMPLES: &str = "\
Examples:
  lacuna bench spmm --m 768 --k 768,3072 --n 128,384 --sparsity 0.7,0.8,0.9
  lacuna bench spmm --grid paper --json > before.json
  lacuna bench spmm --grid paper --baseline before.json
  lacuna bench spmm --grid short --intrinsics
  lacuna bench spmm --dtype bf16 --block 16x1 --candidates";

const GEMM_EXAMPLES: &str = "\
Example:
  lacuna bench gemm --m 768 --k 768,3072 --n 32,128";

const COLUMNS: &str = "\
Columns: median time of one product and its spread; GOP/s counting all weights, and counting the non-zero ones (a multiply or an \
add is one operation); the latter over the peak of this machine's instruction for the data type (int8 vpdpbusd, bf16 vdpbf16ps, \
f32 vfmadd231ps), measured in the same process around each shape; bytes of code, and time to emit it. With several threads the \
peak is that of one thread times their number, and the calls of a sample of int8 follow each other in one team, as layers do.

'of bound', of int8: the least time over the measured one. The least time is that of the inner loops alone: their instructions are \
counted by the execution units that they need, and `lacuna doctor` shows how many of each this machine executes per cycle. 'bound by' \
names the units. The rest of the time goes to epilogues, loops, caches and mispredicted branches.

Epilogues of int8: requant-{u8,s8}-{plain,vnni}, and with the activations relu, gelu and gelutanh (GELU's tanh form) \
instead of requant; the same as requant16-, relu16- and so on in 16-bit fixed point; f32, f32-residual, and an activation before \
each (relu-f32); requant and an activation alone stand for requant16-u8-plain, relu16-u8-plain and so on, as models use. Of \
bf16 and f32: f32, f32-residual, bf16, and an activation before each; alone it stands for the one before f32.

With --candidates every shape has a row per plan, the one that the planner picks first, sampled in turn; candidate is \
its name, predicted_cycles what the planner's model expects, if there is one.

JSON: an array of objects with kernel, name, m, k, n, block, dtype, epilogue, sparsity, threads, caches (hot or cold), \
tier, median_us, best_us (the fastest sample), spread, samples, gops_dense_equivalent, gops_nonzero, peak_gops, \
fraction_of_peak, bound_gops (of the non-zero weights, if the loops alone took time), fraction_of_bound, bound_by, \
code_bytes, emit_us, fill_ratio (non-zero weights over weights that are multiplied), plan; with \
--baseline also baseline_us and ratio_to_baseline. CSV has the same columns.";

const SPMM_COLUMNS: &str = "\
With --intrinsics, sampled in turn with the generated kernel: intrinsics_us, and ratio_to_intrinsics, the time of the intrinsics \
over that of the generated code, as the median of the pairs of samples. The intrinsics have the epilogues requant-{u8,s8}-plain, \
f32 and f32-residual, 4x1 blocks, one thread; beside requant16 they requantise in f32.";

/// What is measured.
struct Run<'a> {
    bench: Bench<'a>,
    product: ProductOptions,
    /// Of this machine, for bounds of int8 products in generated code.
    facts: Option<Facts>,
}

impl<'a> Run<'a> {
    fn new(bench: Bench<'a>, product: ProductOptions) -> Run<'a> {
        let has_bounds = product.dtype == DTypeArg::Int8;
        let facts = if has_bounds { machine::facts(bench.context.isa()) } else { None };
        Run { bench, product, facts }
    }
}

pub(super) fn spmm(args: &SpmmArgs, context: &Context) -> Result<()> {
    let product = ProductOptions {
        kind: Kind::Spmm,
        dtype: args.dtype,
        block: args.block,
        epilogue: args.epilogue.clone(),
        intrinsics: args.intrinsics,
        candidates: args.candidates,
        tuning: args.tuning,
    };
    if args.intrinsics {
        product.check_intrinsics(context)?;
    }
    let run = Run::new(Bench::new(&args.options, context)?, product);
    run.run(&args.shapes, &args.shapes.sparsities(&args.sparsity))
}

pub(super) fn gemm(args: &GemmArgs, context: &Context) -> Result<()> {
    let product = ProductOptions {
        kind: Kind::Gemm,
        dtype: args.dtype,
        block: Block::Dense,
        epilogue: args.epilogue.clone(),
        intrinsics: false,
        candidates: args.candidates,
        tuning: None,
    };
    Run::new(Bench::new(&args.options, context)?, product).run(&args.shapes, &[0.0])
}

/// The figures of a shape that all its rows share.
struct Shape {
    m: usize,
    k: usize,
    n: usize,
    nnz: usize,
    sparsity: f64,
}

impl Run<'_> {
    fn run(&self, shapes: &ShapeArgs, sparsities: &[f64]) -> Result<()> {
        let Shapes { matrices, tokens } = shapes.shapes(self.product.kind.name())?;
        let mut planned = Vec::with_capacity(matrices.len());
        for &(m, k) in &matrices {
            planned.push((m, k, self.product.plan(m, k, self.bench.context.isa())?));
        }
        self.bench.run(|| self.measure(&planned, sparsities, &tokens))
    }

    fn measure(&self, planned: &[(usize, usize, BenchPlan)], sparsities: &[f64], tokens: &[usize]) -> Result<Vec<Row>> {
        let steps = Steps::new(planned.len() * sparsities.len() * tokens.len());
        let Bench { context, options, .. } = self.bench;
        let mut rows = Vec::new();
        for &(m, k, ref plan) in planned {
            for &sparsity in sparsities {
                let matrix = self.product.matrix((m, k), plan, sparsity, options.seed, context)?;
                for &n in tokens {
                    steps.begin(format!("M {m} K {k} N {n}, {:.1} % zero", sparsity * 1e2));
                    let products = matrix.products(n, options.seed.wrapping_add(1), self.bench.parallel())?;
                    let shape = Shape { m, k, n, nnz: matrix.nnz(), sparsity };
                    rows.append(&mut self.rows(&shape, products)?);
                    steps.end();
                }
            }
        }
        Ok(rows)
    }

    /// Checks and times the product of one shape in all ways.
    fn rows(&self, shape: &Shape, products: Products<'_>) -> Result<Vec<Row>> {
        let bench = &self.bench;
        let Products { mut variants, mut intrinsics } = products;
        let wrong_intrinsics = match &mut intrinsics {
            Some(call) => call.check()?.map(|wrong| format!("in intrinsics: {wrong}")),
            None => None,
        };
        let mut rows = Vec::with_capacity(variants.len());
        for variant in &mut variants {
            let mut row = self.row(shape, variant)?;
            row.set_mismatch(variant.call.check()?.or_else(|| wrong_intrinsics.clone()));
            rows.push(row);
        }

        // A wrong result is not timed.
        let mut peak = Peak::new(self.product.dtype.limit());
        let mut works: Vec<&mut dyn Work> = Vec::with_capacity(variants.len() + 1);
        let right = rows.iter().map(|row| row.mismatch().is_none());
        works.extend(variants.iter_mut().zip(right).filter(|(_, right)| *right).map(|(v, _)| v.call.as_mut() as _));
        let timed_variants = works.len();
        if timed_variants > 0 {
            works.extend(intrinsics.as_deref_mut().map(|call| call as &mut dyn Work));
        }
        let mut samples = match works.is_empty() {
            true => Vec::new(),
            false => bench.time(&mut works, || peak.measure(bench.context.isa()))?,
        };
        let intrinsics = samples.split_off(timed_variants.min(samples.len())).into_iter().next();

        let mut samples = samples.iter();
        for (row, variant) in rows.iter_mut().zip(&variants) {
            let samples = if row.mismatch().is_none() { samples.next() } else { None };
            bench.timing(row, samples);
            self.figures(row, shape, samples.map(Samples::median), &peak);
            self.bound(row, shape, &variant.loops, samples.map(Samples::median), &peak);
            if self.product.intrinsics {
                let ratio = intrinsics.as_ref().zip(samples).map(|(intrinsics, samples)| intrinsics.ratio_to(samples));
                let intrinsics = intrinsics.as_ref().map(|samples| samples.median() * 1e6);
                row.figure("intrinsics_us", Some("intrinsics us"), intrinsics, Unit::Decimals(2));
                row.figure("ratio_to_intrinsics", Some("x intrinsics"), ratio, Unit::Ratio("-"));
            }
            if self.product.candidates {
                let cycles = variant.predicted_cycles;
                row.figure("predicted_cycles", Some("predicted cycles"), cycles, Unit::Decimals(0));
            }
            row.code(variant.code_bytes, emission_time(&variant.key)?);
            let fill = (self.product.block == Block::Unstructured).then_some("fill");
            row.figure("fill_ratio", fill, Some(variant.fill_ratio), Unit::Percent);
            row.fact("plan", &*variant.plan);
        }
        Ok(rows)
    }

    fn row(&self, shape: &Shape, variant: &Variant<'_>) -> Result<Row> {
        let mut row = Row::new(self.product.kind.name(), variant.key.name());
        row.size("m", "M", shape.m);
        row.size("k", "K", shape.k);
        row.size("n", "N", shape.n);
        row.tag("block", None, self.product.block.name());
        row.tag("dtype", None, self.product.dtype.name());
        row.tag("epilogue", None, &self.product.epilogue_name()?);
        row.sparsity(shape.sparsity);
        if self.product.candidates {
            row.tag("candidate", None, &variant.key.name());
        }
        Ok(row)
    }

    fn figures(&self, row: &mut Row, shape: &Shape, seconds: Option<f64>, peak: &Peak) {
        let gops = |weights: usize| seconds.map(|s| 2.0 * weights as f64 * shape.n as f64 / s * 1e-9);
        let non_zero = gops(shape.nnz);
        row.figure("gops_dense_equivalent", Some("GOP/s dense"), gops(shape.m * shape.k), Unit::Decimals(0));
        row.figure("gops_nonzero", Some("GOP/s non-zero"), non_zero, Unit::Decimals(0));
        peak.report(row, non_zero, self.bench.threads);
    }

    /// How near the time is to the least that the inner loops take.
    fn bound(&self, row: &mut Row, shape: &Shape, loops: &[Executed], seconds: Option<f64>, peak: &Peak) {
        let facts = self.facts.as_ref();
        let bound = facts.and_then(|facts| Bound::of(loops, facts));
        let least = bound.zip(facts).zip(peak.giga(self.bench.threads));
        let least = least.map(|((bound, facts), peak)| bound.seconds(facts, peak));
        let gops = least.map(|least| 2.0 * (shape.nnz * shape.n) as f64 / least * 1e-9);
        let fraction = least.zip(seconds).map(|(least, seconds)| least / seconds);
        let heading = (self.product.dtype == DTypeArg::Int8).then_some("of bound");
        row.figure("bound_gops", None, gops, Unit::Decimals(0));
        row.figure("fraction_of_bound", heading, fraction, Unit::Percent);
        let binds = bound.map(|bound| bound.binds.name());
        match heading {
            Some(_) => row.measured("bound_by", "bound by", binds),
            None => row.fact("bound_by", binds),
        }
    }
}
