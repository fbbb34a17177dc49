//! `lacuna bench layernorm`, `softmax`, `gelu`, `quantize`, `token-quant`, `token-rescale`, `embedding`: kernels that walk the rows of f32 tiles.

use clap::ValueEnum;
use lacuna_console::args;
use lacuna_console::context::Context;
use lacuna_console::error::Result;
use lacuna_console::products::shapes::{MAX_ACTIVATIONS, too_large};
use lacuna_console::progress::Steps;
use lacuna_console::timing::Work;
use lacuna_kernels::epilogue::Activation;
use lacuna_kernels::{PanelLayout, Sign, Sink};

use super::evict::Evictor;
use super::limits::RowPeak;
use super::options::{Bench, NOTES, Options};
use super::product::emission_time;
use super::report::{Row, Unit};
use super::row_kernels::{RowCase, RowKind, check_vocabulary};

/// The shapes of activations.
#[derive(clap::Args)]
struct RowShapes {
    /// F, features; a comma-separated list
    #[arg(long, value_name = "F,..", value_delimiter = ',', default_value = "768", value_parser = args::at_least_one)]
    features: Vec<usize>,

    /// N, tokens; a comma-separated list
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "128", value_parser = args::at_least_one)]
    tokens: Vec<usize>,
}

/// Layernorm over the features of an f32 tile, with quantisation
#[derive(clap::Args)]
#[command(after_help = format!("{}\n\n{COLUMNS}\n\n{NOTES}", example("layernorm --features 384,768 --tokens 32,128")))]
pub(super) struct LayerNormArgs {
    #[command(flatten)]
    shapes: RowShapes,

    /// What is written: the f32 tile in place, a u8 panel, or both
    #[arg(long, value_enum, default_value_t = LayerNormWrites::Both)]
    output: LayerNormWrites,

    /// Layout of the panel
    #[arg(long, value_enum, default_value_t = LayoutArg::Plain)]
    layout: LayoutArg,

    #[command(flatten)]
    options: Options,
}

/// Softmax over the features of an f32 tile, in place
#[derive(clap::Args)]
#[command(after_help = format!("{}\n\n{COLUMNS}\n\n{NOTES}", example("softmax --features 128,384 --tokens 128")))]
pub(super) struct SoftmaxArgs {
    #[command(flatten)]
    shapes: RowShapes,

    #[command(flatten)]
    options: Options,
}

/// GELU of an f32 tile, in place
///
/// As the epilogue of a product it costs less: see `bench spmm --epilogue gelu`.
#[derive(clap::Args)]
#[command(after_help = format!("{}\n\n{COLUMNS}\n\n{NOTES}", example("gelu --features 3072 --tokens 128")))]
pub(super) struct GeluArgs {
    #[command(flatten)]
    shapes: RowShapes,

    /// The form with tanh instead of the error function
    #[arg(long)]
    tanh: bool,

    #[command(flatten)]
    options: Options,
}

/// Quantisation of an f32 tile to an 8-bit panel
#[derive(clap::Args)]
#[command(after_help = format!("{}\n\n{COLUMNS}\n\n{NOTES}", example("quantize --features 768 --tokens 32,128 --activation gelu")))]
pub(super) struct QuantizeArgs {
    #[command(flatten)]
    shapes: RowShapes,

    /// An activation before: relu, gelu, or gelutanh, GELU's tanh form
    #[arg(long, value_name = "NAME", value_parser = args::activation)]
    activation: Option<Activation>,

    /// Layout of the panel
    #[arg(long, value_enum, default_value_t = LayoutArg::Plain)]
    layout: LayoutArg,

    /// Quantise to s8 instead of u8
    #[arg(long)]
    signed: bool,

    #[command(flatten)]
    options: Options,
}

/// Quantisation of an f32 tile to a u8 panel with a scale per token
#[derive(clap::Args)]
#[command(after_help = format!("{}\n\n{COLUMNS}\n\n{NOTES}", example("token-quant --features 768 --tokens 32,128")))]
pub(super) struct TokenQuantArgs {
    #[command(flatten)]
    shapes: RowShapes,

    /// Layout of the panel
    #[arg(long, value_enum, default_value_t = LayoutArg::Plain)]
    layout: LayoutArg,

    #[command(flatten)]
    options: Options,
}

/// Sums of products times a scale per token
#[derive(clap::Args)]
#[command(after_help = format!("{}\n\n{COLUMNS}\n\n{NOTES}", example("token-rescale --features 768 --tokens 128 --output panel")))]
pub(super) struct TokenRescaleArgs {
    #[command(flatten)]
    shapes: RowShapes,

    /// Where the results go: the tile of sums in place, the residual stream, or an 8-bit panel
    #[arg(long, value_enum, default_value_t = RescaleWrites::Residual)]
    output: RescaleWrites,

    /// An activation before: relu, gelu, or gelutanh, GELU's tanh form
    #[arg(long, value_name = "NAME", value_parser = args::activation)]
    activation: Option<Activation>,

    /// Layout of the panel
    #[arg(long, value_enum, default_value_t = LayoutArg::Plain)]
    layout: LayoutArg,

    /// A panel of s8 instead of u8
    #[arg(long)]
    signed: bool,

    #[command(flatten)]
    options: Options,
}

/// Sums of embedding rows, transposed into an f32 tile
#[derive(clap::Args)]
#[command(after_help = format!("{}\n\n{COLUMNS}\n\n{NOTES}", example("embedding --features 384 --tokens 128 --vocabulary 1000")))]
pub(super) struct EmbeddingArgs {
    #[command(flatten)]
    shapes: RowShapes,

    /// Rows of the table of words; token ids are random
    #[arg(long, value_name = "V", default_value_t = 30522)]
    vocabulary: usize,

    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LayerNormWrites {
    F32,
    Panel,
    Both,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RescaleWrites {
    F32,
    Residual,
    Panel,
}

/// A layout of 8-bit activations.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum LayoutArg {
    Plain,
    Vnni,
}

impl From<LayoutArg> for PanelLayout {
    fn from(layout: LayoutArg) -> PanelLayout {
        match layout {
            LayoutArg::Plain => PanelLayout::Plain,
            LayoutArg::Vnni => PanelLayout::Vnni,
        }
    }
}

fn example(arguments: &str) -> String {
    format!("Example:\n  lacuna bench {arguments}")
}

const COLUMNS: &str = "\
Columns: median time of one call and its spread; time per element in picoseconds; GB/s of what must be read and written at \
least, input and output once each; GFLOP/s of multiplications and multiply-adds, two operations each; how near the one of the \
two that binds comes to what this machine does, and which it is: its bandwidth on as much memory in the same order, or its rate of \
multiply-adds, both measured in the same process around each shape; bytes of code, and time to emit it.

JSON: an array of objects with kernel, name, features, tokens, output, threads, caches (hot or cold), tier, median_us, \
best_us (the fastest sample), spread, samples, ps_per_element, gb_per_s, gflops, bandwidth_gb_per_s, fma_gflops, \
fraction_of_limit, limit, code_bytes, emit_us; with --baseline also baseline_us and ratio_to_baseline. CSV has the \
same columns.";

pub(super) fn layernorm(args: &LayerNormArgs, context: &Context) -> Result<()> {
    let layout = args.layout.into();
    let (f32, panel) = match args.output {
        LayerNormWrites::F32 => (true, None),
        LayerNormWrites::Panel => (false, Some(layout)),
        LayerNormWrites::Both => (true, Some(layout)),
    };
    run(RowKind::LayerNorm { f32, panel }, &args.shapes, &args.options, context)
}

pub(super) fn softmax(args: &SoftmaxArgs, context: &Context) -> Result<()> {
    run(RowKind::Softmax, &args.shapes, &args.options, context)
}

pub(super) fn gelu(args: &GeluArgs, context: &Context) -> Result<()> {
    let activation = if args.tanh { Activation::GeluTanh } else { Activation::Gelu };
    run(RowKind::Activate(activation), &args.shapes, &args.options, context)
}

pub(super) fn quantize(args: &QuantizeArgs, context: &Context) -> Result<()> {
    let kind = RowKind::Quantize {
        activation: args.activation.unwrap_or(Activation::Identity),
        layout: args.layout.into(),
        sign: if args.signed { Sign::Signed } else { Sign::Unsigned },
    };
    run(kind, &args.shapes, &args.options, context)
}

pub(super) fn token_quant(args: &TokenQuantArgs, context: &Context) -> Result<()> {
    run(RowKind::ColumnQuant(args.layout.into()), &args.shapes, &args.options, context)
}

pub(super) fn token_rescale(args: &TokenRescaleArgs, context: &Context) -> Result<()> {
    let sign = if args.signed { Sign::Signed } else { Sign::Unsigned };
    let sink = match args.output {
        RescaleWrites::F32 => Sink::f32(false),
        RescaleWrites::Residual => Sink::f32(true),
        RescaleWrites::Panel => Sink::bytes(args.layout.into(), sign),
    };
    let sink = sink.with(args.activation.unwrap_or(Activation::Identity));
    run(RowKind::ColumnRescale(sink), &args.shapes, &args.options, context)
}

pub(super) fn embedding(args: &EmbeddingArgs, context: &Context) -> Result<()> {
    check_vocabulary(args.vocabulary)?;
    for &features in &args.shapes.features {
        if features.checked_mul(args.vocabulary).is_none_or(|elements| elements > MAX_ACTIVATIONS) {
            let found = format!("{} rows of {features} features", args.vocabulary);
            return Err(too_large("--vocabulary", found, MAX_ACTIVATIONS));
        }
    }
    run(RowKind::Embedding { vocabulary: args.vocabulary }, &args.shapes, &args.options, context)
}

fn run(kind: RowKind, shapes: &RowShapes, options: &Options, context: &Context) -> Result<()> {
    for &features in &shapes.features {
        for &tokens in &shapes.tokens {
            if features.checked_mul(tokens.saturating_add(64)).is_none_or(|elements| elements > MAX_ACTIVATIONS) {
                let found = format!("{tokens} tokens of {features} features");
                return Err(too_large("--tokens", found, MAX_ACTIVATIONS));
            }
        }
    }
    let bench = Bench::new(options, context)?;
    bench.run(|| {
        let steps = Steps::new(shapes.features.len() * shapes.tokens.len());
        let mut rows = Vec::new();
        for &features in &shapes.features {
            for &tokens in &shapes.tokens {
                steps.begin(format!("F {features} N {tokens}"));
                rows.push(row(&bench, kind, features, tokens)?);
                steps.end();
            }
        }
        Ok(rows)
    })
}

/// Checks and times one shape.
fn row(bench: &Bench, kind: RowKind, features: usize, tokens: usize) -> Result<Row> {
    let isa = bench.context.isa();
    let mut case = RowCase::new(kind, features, tokens, isa, bench.threads, bench.options.seed)?;
    let mut row = Row::new(kind.name(), case.key().name());
    row.size("features", "F", features);
    row.size("tokens", "N", tokens);
    row.tag("output", Some("output"), &kind.output());
    row.set_mismatch(case.check()?);
    let elements = (features * tokens) as f64;
    let bytes = elements * kind.bytes_per_element() as f64;
    // Each thread walks its share; what is cold comes from where the evictor's buffer is.
    let walked = bench.evictor.as_ref().map_or((bytes as usize).div_ceil(bench.threads), Evictor::bytes);
    let mut peak = RowPeak::new(kind.bandwidth(), walked);
    let samples = match row.mismatch() {
        None => bench.time(&mut [&mut case as &mut dyn Work], || peak.measure(isa))?,
        Some(_) => Vec::new(),
    };
    bench.timing(&mut row, samples.first());
    let seconds = samples.first().map(|samples| samples.median());
    row.figure("ps_per_element", Some("ps/element"), seconds.map(|s| s * 1e12 / elements), Unit::Decimals(1));
    peak.report(&mut row, bytes, elements * kind.operations_per_element() as f64, seconds, bench.threads);
    row.code(case.code_bytes(), emission_time(&case.key())?);
    Ok(row)
}
