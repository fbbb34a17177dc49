//! `lacuna bench attention`: every sequence of a batch in every head, fused.

use lacuna_console::args;
use lacuna_console::context::Context;
use lacuna_console::error::Result;
use lacuna_console::limits::Limit;
use lacuna_console::products::problem::activations;
use lacuna_console::products::shapes::{MAX_ACTIVATIONS, too_large};
use lacuna_console::progress::Steps;
use lacuna_kernels::attention::{AttentionBatch, AttentionDesc, AttentionKernel, AttentionParams, Sequence};
use lacuna_kernels::layout::elements;
use lacuna_kernels::reference::attention as reference;
use lacuna_kernels::reference::gemm::Matrix;
use lacuna_kernels::{ActivationBits, Buffer, Generate, PanelLayout, Plan};

use super::limits::Peak;
use super::options::{Bench, NOTES, Options};
use super::product::emission_time;
use super::report::{Row, Unit};
use super::rows::LayoutArg;

/// Attention: softmax(Q K^T) V per sequence and head, 8-bit in and out
#[derive(clap::Args)]
#[command(after_help = format!("{COLUMNS}\n\n{NOTES}"))]
pub(super) struct Args {
    /// Tokens per sequence; a comma-separated list
    #[arg(long, value_name = "S,..", value_delimiter = ',', default_value = "128", value_parser = args::at_least_one)]
    seq: Vec<usize>,

    /// Sequences per batch; a comma-separated list
    #[arg(long, value_name = "B,..", value_delimiter = ',', default_value = "1", value_parser = args::at_least_one)]
    batch: Vec<usize>,

    /// Heads
    #[arg(long, value_name = "H", default_value_t = 12, value_parser = args::at_least_one)]
    heads: usize,

    /// Features per head, a multiple of 4; a comma-separated list
    #[arg(long, value_name = "D,..", value_delimiter = ',', default_value = "64", value_parser = args::at_least_one)]
    head_size: Vec<usize>,

    /// Layout of the output
    #[arg(long, value_enum, default_value_t = LayoutArg::Plain)]
    layout: LayoutArg,

    #[command(flatten)]
    options: Options,
}

const COLUMNS: &str = "\
Example:
  lacuna bench attention --seq 32,128,384 --heads 12 --head-size 32,64

Columns: median time of one batch and its spread; GOP/s of the two products alone, 4 S S D operations per sequence and head (a \
multiply or an add is one operation), and their fraction of the peak of this machine's 8-bit dot product (vpdpbusd), measured in \
the same process around each shape; bytes of code, and time to emit it.

JSON: an array of objects with kernel, name, seq, batch, heads, head_size, output, threads, caches (hot or cold), \
tier, median_us, best_us (the fastest sample), spread, samples, gops, peak_gops, fraction_of_peak, code_bytes, \
emit_us; with --baseline also baseline_us and ratio_to_baseline. CSV has the same columns.";

/// Zero point of queries and outputs.
const ZERO: u8 = 128;

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    for &head_size in &args.head_size {
        AttentionDesc { head_size, output: args.layout.into(), activation_bits: ActivationBits::Eight }
            .plan(context.isa())?;
        for (&seq, &batch) in args.seq.iter().flat_map(|seq| args.batch.iter().map(move |batch| (seq, batch))) {
            let size = seq.saturating_add(64).checked_mul(batch).and_then(|n| n.checked_mul(args.heads));
            if size.and_then(|n| n.checked_mul(head_size)).is_none_or(|elements| elements > MAX_ACTIVATIONS) {
                let found = format!("{batch} x {seq} tokens of {} x {head_size} features", args.heads);
                return Err(too_large("--seq, --batch", found, MAX_ACTIVATIONS));
            }
        }
    }
    let bench = Bench::new(&args.options, context)?;
    bench.run(|| {
        let steps = Steps::new(args.head_size.len() * args.batch.len() * args.seq.len());
        let mut rows = Vec::new();
        for &head_size in &args.head_size {
            for &batch in &args.batch {
                for &seq in &args.seq {
                    steps.begin(format!("{batch} x {seq} tokens, {} heads of {head_size}", args.heads));
                    rows.push(row(&bench, args, head_size, batch, seq)?);
                    steps.end();
                }
            }
        }
        Ok(rows)
    })
}

/// Checks and times one shape.
fn row(bench: &Bench, args: &Args, head_size: usize, batch: usize, seq: usize) -> Result<Row> {
    let output = args.layout.into();
    let kernel = AttentionKernel::compile(
        AttentionDesc { head_size, output, activation_bits: ActivationBits::Eight }.plan(bench.context.isa())?,
    )?;
    let problem = Problem::new(args.heads, head_size, batch, seq, bench.options.seed);
    let features = args.heads * head_size;
    let tables = AttentionBatch::new(&problem.sequences, problem.tokens, features, output)?;
    let (q, k, v) = (
        problem.q.to_panel(PanelLayout::Vnni),
        problem.k.to_panel(PanelLayout::Vnni),
        problem.v.to_panel(PanelLayout::Plain),
    );
    let mut out = Buffer::new(elements(features, problem.tokens));
    out.fill(0xa5);
    kernel.run(&tables, &problem.params, &q, &k, &v, &mut out, bench.parallel())?;
    let mut row = Row::new("attention", kernel.plan().name());
    row.size("seq", "S", seq);
    row.size("batch", "B", batch);
    row.size("heads", "heads", args.heads);
    row.size("head_size", "D", head_size);
    row.tag("output", None, output.name());
    row.set_mismatch(problem.check(&out, output));

    let mut samples = Vec::new();
    let mut peak = Peak::new(Limit::Dots);
    if row.mismatch().is_none() {
        let mut call = || Ok(kernel.run(&tables, &problem.params, &q, &k, &v, &mut out, bench.parallel())?);
        samples = bench.time(&mut [&mut call], || peak.measure(bench.context.isa()))?;
    }
    bench.timing(&mut row, samples.first());
    let operations = (4 * batch * seq * seq * features) as f64;
    let gops = samples.first().map(|samples| operations / samples.median() * 1e-9);
    row.figure("gops", Some("GOP/s"), gops, Unit::Decimals(0));
    peak.report(&mut row, gops, bench.threads);
    let code = kernel.code().map_or(0, |code| code.bytes.len());
    row.code(code, emission_time(&kernel.plan().key())?);
    Ok(row)
}

/// Seeded operands.
struct Problem {
    heads: usize,
    head_size: usize,
    sequences: Vec<Sequence>,
    tokens: usize,
    params: AttentionParams,
    q: Matrix<u8>,
    k: Matrix<u8>,
    v: Matrix<u8>,
}

impl Problem {
    /// Scores spread over a few units, so that softmax has something to decide.
    fn new(heads: usize, head_size: usize, batch: usize, seq: usize, seed: u64) -> Problem {
        let (sequences, tokens) = Sequence::pack(std::iter::repeat_n(seq, batch));
        let features = heads * head_size;
        /// Standard deviations of -128..128 and of 0..256 about its zero point.
        const DEVIATION: f32 = 73.9 * 73.9;
        let params = AttentionParams {
            score_scale: vec![2.0 / (DEVIATION * (head_size as f32).sqrt()); heads],
            q_zero: vec![ZERO; heads],
            out_scale: (0..features).map(|feature| 1.0 + (feature % 8) as f32 / 4.0).collect(),
            out_zero: ZERO,
        };
        let operand = |i| activations(features, tokens, ActivationBits::Eight, seed.wrapping_add(i));
        Problem { heads, head_size, sequences, tokens, params, q: operand(0), k: operand(1), v: operand(2) }
    }

    /// Compares the first and the last sequence in the first and the last head with the scalar reference, bit by bit; what is
    /// wrong, if anything is.
    fn check(&self, out: &[u8], layout: PanelLayout) -> Option<String> {
        let ends = |count: usize| if count == 1 { vec![0] } else { vec![0, count - 1] };
        let sequences: Vec<Sequence> = ends(self.sequences.len()).into_iter().map(|i| self.sequences[i]).collect();
        ends(self.heads).into_iter().find_map(|head| {
            let first = head * self.head_size;
            let part = |x: &Matrix<u8>| Matrix::from_fn(self.head_size, self.tokens, |d, token| x.at(first + d, token));
            let params = AttentionParams {
                score_scale: vec![self.params.score_scale[head]],
                q_zero: vec![self.params.q_zero[head]],
                out_scale: self.params.out_scale[first..first + self.head_size].to_vec(),
                out_zero: self.params.out_zero,
            };
            let expected = reference::attention(&params, &sequences, &part(&self.q), &part(&self.k), &part(&self.v));
            let tokens = || sequences.iter().flat_map(|s| s.start..s.start + s.len);
            let mut places = (0..self.head_size).flat_map(|d| tokens().map(move |token| (d, token)));
            let found = |d: usize, token: usize| out[layout.index(self.heads * self.head_size, first + d, token)];
            let (d, token) = places.find(|&(d, token)| found(d, token) != expected.at(d, token))?;
            let (found, expected) = (found(d, token), expected.at(d, token));
            Some(format!("head {head}, feature {d}, token {token}: found {found}, expected {expected}"))
        })
    }
}
