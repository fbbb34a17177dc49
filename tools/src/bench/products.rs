//! `lacuna bench spmm` and `lacuna bench gemm`: every shape checked, then timed.

use std::path::PathBuf;

use lacuna_console::context::Context;
use lacuna_console::error::Result;
use lacuna_console::machine;
use lacuna_console::products::call::{Products, Variant};
use lacuna_console::products::int8::TuningArg;
use lacuna_console::products::shapes::{ShapeArgs, Shapes, SparsityArgs};
use lacuna_console::progress::Steps;
use lacuna_console::timing::{Samples, Work};
use lacuna_kernels::machine::{Bound, Executed, Facts};
use lacuna_kernels::{ActivationBits, Block};

use super::limits::Peak;
use super::options::{Bench, NOTES, Options};
use super::product::{BenchPlan, DTypeArg, EpilogueArg, Kind, ProductOptions, emission_time};
use super::report::{Row, Unit};
use super::subjects::{self, Subject, Zeros};

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

    /// Measure the linear layers of this model, with the zeros they have, in place of random weights: a directory as that of `embed`
    #[arg(long, value_name = "DIR", conflicts_with_all = ["m", "k", "grid", "sparsity"])]
    model: Option<PathBuf>,

    /// Block shape of the zeros, outputs x inputs: 4x1, 8x1, 16x1, 1x4, 4x4, unstructured
    #[arg(long, default_value = "4x1")]
    block: Block,

    /// Type of weights and activations
    #[arg(long, value_enum, default_value_t = DTypeArg::Int8)]
    dtype: DTypeArg,

    /// What happens to the sums [default: requant for int8, f32 for the others]
    #[arg(long, value_parser = EpilogueArg::parse)]
    epilogue: Option<EpilogueArg>,

    /// Bits of the activations of int8 products: 8, or 7, of which AVX2 without VNNI computes more per second [default: 8]
    #[arg(long, value_name = "BITS")]
    activation_bits: Option<ActivationBits>,

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

    /// Bits of the activations of int8 products: 8, or 7, of which AVX2 without VNNI computes more per second [default: 8]
    #[arg(long, value_name = "BITS")]
    activation_bits: Option<ActivationBits>,

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
add is one operation); the latter over the peak of this machine's instruction for the data type (int8 vpdpbusd, without VNNI vpmaddwd, of 7-bit activations two vpmaddubsw for each vpmaddwd; bf16 vdpbf16ps; \
f32 vfmadd231ps), measured in the same process around each shape; bytes of code, and time to emit it. With several threads the \
peak is that of one thread times their number, and the calls of a sample of int8 follow each other in one team, as layers do.

'of bound', of int8: the least time over the measured one. The least time is that of the inner loops alone: their instructions are \
counted by the execution units that they need, and `lacuna doctor` shows how many of each this machine executes per cycle. 'bound by' \
names the units. The rest of the time goes to epilogues, loops, caches and mispredicted branches.

Epilogues of int8: requant-{u8,u7,s8}-{plain,vnni}, and with the activations relu, gelu and gelutanh (GELU's tanh form) \
instead of requant; the same as requant16-, relu16- and so on in 16-bit fixed point; f32, f32-residual, and an activation before \
each (relu-f32); requant and an activation alone stand for requant16-u8-plain, relu16-u8-plain and so on, as models use. Of \
bf16 and f32: f32, f32-residual, bf16, and an activation before each; alone it stands for the one before f32.

With --candidates every shape has a row per plan, the one that the planner picks first, sampled in turn; candidate is \
its name, predicted_cycles what the planner's model expects, if there is one.

JSON: an array of objects with kernel, name, matrix (with --model: layer and name), m, k, n, block, dtype, activation_bits (if they were given), epilogue, sparsity, threads, caches (hot or cold), \
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
    /// Of this machine, for bounds of int8 products in generated code, once all products are planned.
    facts: Option<Facts>,
}

impl<'a> Run<'a> {
    fn new(bench: Bench<'a>, product: ProductOptions) -> Run<'a> {
        Run { bench, product, facts: None }
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
        activation_bits: args.activation_bits,
        tuning: args.tuning,
    };
    if args.intrinsics {
        product.check_intrinsics(context)?;
    }
    let subjects = match &args.model {
        Some(folder) => subjects::of_model(folder, &args.shapes)?,
        None => {
            let matrices = args.shapes.shapes(product.kind.name())?.matrices;
            subjects::random(&matrices, &args.shapes.sparsities(&args.sparsity))
        }
    };
    Run::new(Bench::new(&args.options, context)?, product).run(&subjects, &args.shapes.tokens())
}

pub(super) fn gemm(args: &GemmArgs, context: &Context) -> Result<()> {
    let product = ProductOptions {
        kind: Kind::Gemm,
        dtype: args.dtype,
        block: Block::Dense,
        epilogue: args.epilogue.clone(),
        intrinsics: false,
        candidates: args.candidates,
        activation_bits: args.activation_bits,
        tuning: None,
    };
    let Shapes { matrices, tokens } = args.shapes.shapes(product.kind.name())?;
    Run::new(Bench::new(&args.options, context)?, product).run(&subjects::random(&matrices, &[0.0]), &tokens)
}

/// The figures of a shape that all its rows share.
struct Shape<'a> {
    subject: &'a Subject,
    n: usize,
    nnz: usize,
}

impl Run<'_> {
    fn run(mut self, subjects: &[Subject], tokens: &[usize]) -> Result<()> {
        let mut planned = Vec::with_capacity(subjects.len());
        for subject in subjects {
            planned.push((subject, self.product.plan(subject.m, subject.k, self.bench.context.isa())?));
        }
        if self.product.dtype == DTypeArg::Int8 {
            self.facts = machine::facts(self.bench.context.isa());
        }
        self.bench.run(|| self.measure(&planned, tokens))
    }

    fn measure(&self, planned: &[(&Subject, BenchPlan)], tokens: &[usize]) -> Result<Vec<Row>> {
        let steps = Steps::new(planned.len() * tokens.len());
        let Bench { context, options, .. } = self.bench;
        let (product, seed) = (&self.product, options.seed);
        let mut rows = Vec::new();
        for (subject, plan) in planned {
            let shape = (subject.m, subject.k);
            let matrix = match &subject.zeros {
                Zeros::Random(sparsity) => product.matrix(shape, plan, *sparsity, seed, context)?,
                Zeros::Real { values, .. } => product.matrix_of(shape, plan, values.clone(), seed, context)?,
            };
            for &n in tokens {
                steps.begin(format!("{}, N {n}", subject.text()));
                let products = matrix.products(n, seed.wrapping_add(1), self.bench.parallel())?;
                rows.append(&mut self.rows(&Shape { subject, n, nnz: matrix.nnz() }, products)?);
                steps.end();
            }
        }
        Ok(rows)
    }

    /// Checks and times the product of one shape in all ways.
    fn rows(&self, shape: &Shape<'_>, products: Products<'_>) -> Result<Vec<Row>> {
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
        let mut peak = Peak::new(self.product.limit());
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

    fn row(&self, shape: &Shape<'_>, variant: &Variant<'_>) -> Result<Row> {
        let mut row = Row::new(self.product.kind.name(), variant.key.name());
        if let Some(name) = shape.subject.name() {
            row.tag("matrix", Some("matrix"), name);
        }
        row.size("m", "M", shape.subject.m);
        row.size("k", "K", shape.subject.k);
        row.size("n", "N", shape.n);
        row.tag("block", None, self.product.block.name());
        row.tag("dtype", None, self.product.dtype.name());
        if let Some(bits) = self.product.activation_bits {
            row.tag("activation_bits", None, &bits.to_string());
        }
        row.tag("epilogue", None, &self.product.epilogue_name()?);
        row.sparsity(shape.subject.sparsity());
        if self.product.candidates {
            row.tag("candidate", None, &variant.key.name());
        }
        Ok(row)
    }

    fn figures(&self, row: &mut Row, shape: &Shape<'_>, seconds: Option<f64>, peak: &Peak) {
        let gops = |weights: usize| seconds.map(|s| 2.0 * weights as f64 * shape.n as f64 / s * 1e-9);
        let non_zero = gops(shape.nnz);
        row.figure(
            "gops_dense_equivalent",
            Some("GOP/s dense"),
            gops(shape.subject.m * shape.subject.k),
            Unit::Decimals(0),
        );
        row.figure("gops_nonzero", Some("GOP/s non-zero"), non_zero, Unit::Decimals(0));
        peak.report(row, non_zero, self.bench.threads);
    }

    /// How near the time is to the least that the inner loops take.
    fn bound(&self, row: &mut Row, shape: &Shape<'_>, loops: &[Executed], seconds: Option<f64>, peak: &Peak) {
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
