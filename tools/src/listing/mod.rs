//! `lacuna listing`: the code of a kernel, disassembled and annotated.

mod disassembly;
mod products;

use clap::{Subcommand, ValueEnum};
use lacuna_console::args;
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::output::{print, print_json};
use lacuna_jit::Isa;
use lacuna_kernels::attention::AttentionDesc;
use lacuna_kernels::cache::AnyPlan;
use lacuna_kernels::dynamic::{ColumnQuantDesc, ColumnRescaleDesc};
use lacuna_kernels::elementwise::ElementwiseDesc;
use lacuna_kernels::embedding::EmbeddingDesc;
use lacuna_kernels::epilogue::{Activation, Arithmetic, Epilogue, Store};
use lacuna_kernels::layernorm::LayerNormDesc;
use lacuna_kernels::softmax::SoftmaxDesc;
use lacuna_kernels::{ActivationBits, Generate, PanelLayout, Sink};

use self::disassembly::Listing;
use self::products::{FloatArgs, ProductArgs, SpmmArgs};

/// Show the generated code of a kernel: disassembly, register map, remarks
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lacuna listing spmm --m 768 --k 768 --epilogue requant | less
  lacuna listing spmm --block 1x4 --k 3072 --schedule v2u2
  lacuna listing spmm --tuning fast --n 32 --sparsity 0.8
  lacuna listing float --dtype bf16 --block 16x1
  lacuna listing gemm --m 384 --k 1536 --epilogue f32-residual --bytes
  lacuna listing attention --head-size 32
  lacuna listing elementwise --features 384 --function gelu-u8-plain

Only --tuning measure runs code. The listing still needs a CPU of the tier, because code is planned for the machine that plans it.
Every kernel is entered as extern \"sysv64\" fn(*const Args), its arguments in rdi.")]
pub(crate) struct Args {
    #[command(subcommand)]
    kernel: Kernel,

    /// Show the bytes of every instruction
    #[arg(long, global = true)]
    bytes: bool,

    /// Print as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Kernel {
    /// Sparse int8 weights x a panel of u8
    Spmm(SpmmArgs),
    /// Dense weights x a VNNI panel
    Gemm(ProductArgs),
    /// Weights of f32 or bf16, dense or sparse, x activations of the same type
    Float(FloatArgs),
    /// Fused int8 attention of one head
    Attention {
        /// Features per head, a multiple of 4
        #[arg(long, value_name = "D", default_value_t = 64)]
        head_size: usize,
        /// Layout of the output
        #[arg(long, value_enum, default_value = "plain")]
        output: Layout,
    },
    /// Layernorm of an f32 tile
    Layernorm {
        #[command(flatten)]
        features: FeatureArgs,
        /// What is written
        #[arg(long, value_enum, default_value = "plain")]
        output: NormOutput,
    },
    /// Softmax down the columns of an f32 tile
    Softmax(FeatureArgs),
    /// An activation or quantisation of an f32 tile
    Elementwise {
        #[command(flatten)]
        features: FeatureArgs,
        /// {relu,gelu,gelutanh}-f32, or {requant,relu,gelu,gelutanh}-{u8,s8}-{plain,vnni}
        #[arg(long, value_parser = args::epilogue, default_value = "gelu-u8-plain")]
        function: Epilogue,
    },
    /// Quantisation of an f32 tile with a scale per token
    TokenQuant {
        #[command(flatten)]
        features: FeatureArgs,
        /// Layout of the panel
        #[arg(long, value_enum, default_value = "plain")]
        output: Layout,
    },
    /// Sums of products times a scale per token
    TokenRescale {
        #[command(flatten)]
        features: FeatureArgs,
        /// f32, {relu,gelu,gelutanh}-f32, f32-residual, or {requant,relu,gelu,gelutanh}-{u8,s8}-{plain,vnni}
        #[arg(long, value_parser = args::epilogue, default_value = "f32-residual")]
        function: Epilogue,
    },
    /// Gather of embedding rows into an f32 tile
    Embedding(FeatureArgs),
}

#[derive(clap::Args)]
struct FeatureArgs {
    /// Features of the tile
    #[arg(long, value_name = "F", default_value_t = 768)]
    features: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Layout {
    /// [tile][feature][64], what the sparse kernels read
    Plain,
    /// [tile][feature/4][64][4], what dense GEMM reads
    Vnni,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum NormOutput {
    /// The f32 tile in place
    F32,
    /// The f32 tile and a plain panel
    Plain,
    /// The f32 tile and a VNNI panel
    Vnni,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    if context.isa() == Isa::Portable {
        return Err(Error::Argument {
            option: "--tier",
            found: format!("{}, which runs plain Rust", context.tier),
            expected: "a tier with generated code (avx512vnni, avxvnni or avx2), on a CPU that has it".into(),
        });
    }
    let listing = Listing::new(&args.kernel.plan(context.isa())?.emit()?);
    match args.json {
        true => print_json(&listing),
        false => print(listing.text(args.bytes)),
    }
}

impl Kernel {
    fn plan(&self, isa: Isa) -> Result<AnyPlan> {
        Ok(match self {
            Kernel::Spmm(args) => args.plan(isa)?,
            Kernel::Gemm(args) => args.dense(isa)?,
            Kernel::Float(args) => args.plan(isa)?,
            Kernel::Attention { head_size, output } => AttentionDesc {
                head_size: *head_size,
                output: (*output).into(),
                activation_bits: ActivationBits::Eight,
            }
            .plan(isa)?
            .key(),
            Kernel::Layernorm { features, output } => {
                let panel = match output {
                    NormOutput::F32 => None,
                    NormOutput::Plain => Some(PanelLayout::Plain),
                    NormOutput::Vnni => Some(PanelLayout::Vnni),
                };
                LayerNormDesc { features: features.features, f32: true, panel, activation_bits: ActivationBits::Eight }
                    .plan(isa)?
                    .key()
            }
            Kernel::Softmax(f) => SoftmaxDesc { features: f.features }.plan(isa)?.key(),
            Kernel::Elementwise { features, function } => {
                ElementwiseDesc { features: features.features, sink: elementwise_sink(function)? }.plan(isa)?.key()
            }
            Kernel::TokenQuant { features, output } => ColumnQuantDesc {
                features: features.features,
                layout: (*output).into(),
                activation_bits: ActivationBits::Eight,
            }
            .plan(isa)?
            .key(),
            Kernel::TokenRescale { features, function } => {
                ColumnRescaleDesc { features: features.features, sink: rescale_sink(function)? }.plan(isa)?.key()
            }
            Kernel::Embedding(f) => EmbeddingDesc { features: f.features }.plan(isa)?.key(),
        })
    }
}

impl From<Layout> for PanelLayout {
    fn from(layout: Layout) -> PanelLayout {
        match layout {
            Layout::Plain => PanelLayout::Plain,
            Layout::Vnni => PanelLayout::Vnni,
        }
    }
}

/// The sink of an element-wise function, by the name of an epilogue.
fn elementwise_sink(epilogue: &Epilogue) -> Result<Sink> {
    match (epilogue.sink.activation, epilogue.sink.store) {
        (activation, Store::F32 { residual: false }) if activation != Activation::Identity => Ok(epilogue.sink),
        (_, Store::Bytes { .. }) if epilogue.arithmetic == Arithmetic::F32 => Ok(epilogue.sink),
        _ => Err(Error::Argument {
            option: "--function",
            found: epilogue.name(),
            expected: "relu-f32, gelu-f32, gelutanh-f32, or requant or an activation to bytes in f32 arithmetic".into(),
        }),
    }
}

/// The sink of rescaled sums, by the name of an epilogue.
fn rescale_sink(epilogue: &Epilogue) -> Result<Sink> {
    match (epilogue.sink.activation, epilogue.sink.store) {
        (_, Store::F32 { residual: false }) | (Activation::Identity, Store::F32 { residual: true }) => {
            Ok(epilogue.sink)
        }
        (_, Store::Bytes { .. }) if epilogue.arithmetic == Arithmetic::F32 => Ok(epilogue.sink),
        _ => Err(Error::Argument {
            option: "--function",
            found: epilogue.name(),
            expected: "f32, an activation to f32, f32-residual, or requant or an activation to bytes in f32 arithmetic"
                .into(),
        }),
    }
}
