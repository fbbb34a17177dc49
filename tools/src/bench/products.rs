//! `lacuna bench spmm` and `lacuna bench gemm`: every shape checked, then timed.

use lacuna_kernels::Block;

use super::intrinsics::Intrinsics;
use super::limits::Peak;
use super::options::{Bench, NOTES, Options};
use super::product::{DTypeArg, EpilogueArg, Kind, Matrix, ProductPlan, Wanted, emission_time};
use super::report::{Row, Unit};
use super::shapes::{ShapeArgs, Shapes, SparsityArgs};
use crate::context::Context;
use crate::error::Result;
use crate::progress::Steps;
use crate::timing::{Samples, Work};

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

    /// Measure the kernel in compiler intrinsics beside the generated one
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
peak is that of one thread times their number.

Epilogues of int8: requant-{u8,s8}-{plain,vnni}, gelu-{u8,s8}-{plain,vnni}, the same as requant16- and gelu16- in 16-bit fixed \
point, f32, f32-residual, gelu-f32, gelu-f32-residual; requant and gelu alone stand for -u8-plain. Of bf16 and f32: f32, f32-residual, bf16, and gelu- before each; gelu alone is \
gelu-f32.

With --candidates every shape has a row per plan, the one that the planner picks first, sampled in turn; candidate is its name.

JSON: an array of objects with kernel, name, m, k, n, block, dtype, epilogue, sparsity, threads, caches (hot or cold), tier, \
median_us, spread, samples, gops_dense_equivalent, gops_nonzero, peak_gops, fraction_of_peak, code_bytes, emit_us, fill_ratio (non-zero \
weights over weights that are multiplied), plan; with \
--baseline also baseline_us and ratio_to_baseline. CSV has the same columns.";

const SPMM_COLUMNS: &str = "\
With --intrinsics, sampled in turn with the generated kernel: intrinsics_us, and ratio_to_intrinsics, the time of the intrinsics \
over that of the generated code. It has the epilogues requant-{u8,s8}-plain, f32 and f32-residual, 4x1 blocks, one thread; \
beside requant16 it requantises in f32.";

/// What is measured.
struct Products<'a> {
    bench: Bench<'a>,
    wanted: Wanted,
}

/// A shape of matrix and its plans.
struct Planned {
    m: usize,
    k: usize,
    plans: Vec<ProductPlan>,
}

pub(super) fn spmm(args: &SpmmArgs, context: &Context) -> Result<()> {
    let wanted = Wanted {
        kind: Kind::Spmm,
        dtype: args.dtype,
        block: args.block,
        epilogue: args.epilogue.clone(),
        intrinsics: args.intrinsics,
        candidates: args.candidates,
    };
    if args.intrinsics {
        Intrinsics::check(&wanted, context)?;
    }
    let products = Products { bench: Bench::new(&args.options, context)?, wanted };
    products.run(&args.shapes, &args.shapes.sparsities(&args.sparsity))
}

pub(super) fn gemm(args: &GemmArgs, context: &Context) -> Result<()> {
    let wanted = Wanted {
        kind: Kind::Gemm,
        dtype: args.dtype,
        block: Block::Dense,
        epilogue: args.epilogue.clone(),
        intrinsics: false,
        candidates: args.candidates,
    };
    Products { bench: Bench::new(&args.options, context)?, wanted }.run(&args.shapes, &[0.0])
}

impl Products<'_> {
    fn run(&self, shapes: &ShapeArgs, sparsities: &[f64]) -> Result<()> {
        let Shapes { matrices, tokens } = shapes.shapes(self.wanted.kind.name())?;
        let mut planned = Vec::with_capacity(matrices.len());
        for &(m, k) in &matrices {
            planned.push(Planned { m, k, plans: self.wanted.plans(m, k, self.bench.context.isa())? });
        }
        self.bench.run(|| self.measure(&planned, sparsities, &tokens))
    }

    fn measure(&self, planned: &[Planned], sparsities: &[f64], tokens: &[usize]) -> Result<Vec<Row>> {
        let steps = Steps::new(planned.len() * sparsities.len() * tokens.len());
        let Bench { context, options, .. } = self.bench;
        let mut rows = Vec::new();
        for Planned { m, k, plans } in planned {
            for &sparsity in sparsities {
                let matrix = self.wanted.matrix((*m, *k), plans, sparsity, options.seed, context)?;
                for &n in tokens {
                    steps.begin(format!("M {m} K {k} N {n}, {:.1} % zero", sparsity * 1e2));
                    let mut shape = Vec::with_capacity(plans.len());
                    for plan in plans {
                        let mut row = Row::new(self.wanted.kind.name(), plan.key().name());
                        row.size("m", "M", *m);
                        row.size("k", "K", *k);
                        row.size("n", "N", n);
                        row.tag("block", None, self.wanted.block.name());
                        row.tag("dtype", None, self.wanted.dtype.name());
                        row.tag("epilogue", None, &self.wanted.epilogue_name()?);
                        row.sparsity(sparsity);
                        if self.wanted.candidates {
                            row.tag("candidate", None, &plan.key().name());
                        }
                        shape.push(row);
                    }
                    self.check_and_time(&mut shape, matrix.as_ref(), n)?;
                    for (i, (row, plan)) in shape.iter_mut().zip(plans).enumerate() {
                        row.code(matrix.code_bytes(i), emission_time(&plan.key())?);
                        let fill = (self.wanted.block == Block::Unstructured).then_some("fill");
                        row.figure("fill_ratio", fill, Some(matrix.fill_ratio(i)), Unit::Percent);
                        row.fact("plan", plan.describe());
                    }
                    rows.append(&mut shape);
                    steps.end();
                }
            }
        }
        Ok(rows)
    }

    /// Checks and times the product of one shape by all plans, and by intrinsics if they are wanted.
    fn check_and_time(&self, rows: &mut [Row], matrix: &dyn Matrix, n: usize) -> Result<()> {
        let bench = &self.bench;
        let mut calls = matrix.calls(n, bench.options.seed.wrapping_add(1), bench.parallel());
        let mut mismatches = Vec::with_capacity(calls.len());
        for call in &mut calls {
            mismatches.push(call.check()?);
        }
        let in_intrinsics =
            mismatches.get(rows.len()).cloned().flatten().map(|wrong| format!("in intrinsics: {wrong}"));
        for (row, mismatch) in rows.iter_mut().zip(mismatches) {
            row.set_mismatch(mismatch.or_else(|| in_intrinsics.clone()));
        }
        // What is wrong is not timed.
        let mut timed: Vec<Option<Samples>> = vec![None; calls.len()];
        let right = |i: usize| rows.get(i).is_none_or(|row| row.mismatch().is_none()) && in_intrinsics.is_none();
        let mut peak = Peak::new(self.wanted.dtype.limit());
        let (places, mut works): (Vec<usize>, Vec<&mut dyn Work>) = calls
            .iter_mut()
            .enumerate()
            .filter(|(i, _)| right(*i))
            .map(|(i, call)| (i, call.as_mut() as &mut dyn Work))
            .unzip();
        if !works.is_empty() {
            let samples = bench.time(&mut works, || peak.measure(bench.context.isa()))?;
            places.into_iter().zip(samples).for_each(|(i, samples)| timed[i] = Some(samples));
        }
        let intrinsics = timed.get(rows.len()).cloned().flatten().map(|samples| samples.median());
        for (row, samples) in rows.iter_mut().zip(&timed) {
            bench.timing(row, samples.as_ref());
            let seconds = samples.as_ref().map(Samples::median);
            let gops = |weights: f64| seconds.map(|seconds| 2.0 * weights * n as f64 / seconds * 1e-9);
            let all = row.number("m").zip(row.number("k")).map_or(0.0, |(m, k)| m * k);
            let non_zero = gops(matrix.nnz() as f64);
            row.figure("gops_dense_equivalent", Some("GOP/s dense"), gops(all), Unit::Decimals(0));
            row.figure("gops_nonzero", Some("GOP/s non-zero"), non_zero, Unit::Decimals(0));
            peak.report(row, non_zero, bench.threads);
            if self.wanted.intrinsics {
                let ratio = intrinsics.zip(seconds).map(|(intrinsics, seconds)| intrinsics / seconds);
                row.figure("intrinsics_us", Some("intrinsics us"), intrinsics.map(|s| s * 1e6), Unit::Decimals(2));
                row.figure("ratio_to_intrinsics", Some("x intrinsics"), ratio, Unit::Ratio("-"));
            }
        }
        Ok(())
    }
}
