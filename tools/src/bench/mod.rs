//! `lacuna bench`: how fast kernels and models are, against this machine's own limit.

mod attention;
mod baseline;
mod column_kernels;
mod emit;
mod evict;
mod lengths;
mod limits;
mod measure;
mod model;
mod open;
mod options;
mod peak;
mod product;
mod products;
mod report;
mod row_kernels;
mod rows;
mod serve;
mod subject;
mod subjects;
mod text;

use clap::Subcommand;
use lacuna_console::context::Context;
use lacuna_console::error::Result;

/// Measure kernels, code generation and whole models
///
/// Everything is measured in one process, warmed up, as medians of interleaved repeats. Weights and activations are hot, the same
/// ones every time, in the cache that they fit in; with --cold they come from memory.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lacuna bench spmm --m 768 --k 768,3072 --n 128,384 --sparsity 0.7,0.8,0.9
  lacuna bench spmm --grid paper --json > spmm.json
  lacuna bench spmm --grid paper --baseline spmm.json
  lacuna bench gemm --m 768 --k 768 --n 128 --cold
  lacuna bench attention --seq 128,384
  lacuna bench layernorm --features 768 --tokens 128
  lacuna bench model --arch minilm --seq 32,128 --sparsity 0.9
  lacuna bench lengths --arch minilm --sequences 64 --lengths 5-60
  lacuna bench text --model all-MiniLM-L6-v2 --batch 1,32 --seq 16,64
  lacuna bench open --model minilm.lacuna
  lacuna bench serve --rate 100,1000
  lacuna bench peak
  lacuna bench emit")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Spmm(products::SpmmArgs),
    Gemm(products::GemmArgs),
    Attention(attention::Args),
    #[command(name = "layernorm")]
    LayerNorm(rows::LayerNormArgs),
    Softmax(rows::SoftmaxArgs),
    Gelu(rows::GeluArgs),
    Quantize(rows::QuantizeArgs),
    TokenQuant(rows::TokenQuantArgs),
    TokenRescale(rows::TokenRescaleArgs),
    Embedding(rows::EmbeddingArgs),
    Peak(peak::Args),
    Emit(emit::Args),
    Model(model::Args),
    Lengths(lengths::Args),
    Text(text::Args),
    Open(open::Args),
    Serve(serve::Args),
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    match &args.what {
        What::Spmm(args) => products::spmm(args, context),
        What::Gemm(args) => products::gemm(args, context),
        What::Attention(args) => attention::run(args, context),
        What::LayerNorm(args) => rows::layernorm(args, context),
        What::Softmax(args) => rows::softmax(args, context),
        What::Gelu(args) => rows::gelu(args, context),
        What::Quantize(args) => rows::quantize(args, context),
        What::TokenQuant(args) => rows::token_quant(args, context),
        What::TokenRescale(args) => rows::token_rescale(args, context),
        What::Embedding(args) => rows::embedding(args, context),
        What::Peak(args) => peak::run(args, context),
        What::Emit(args) => emit::run(args, context),
        What::Model(args) => model::run(args, context),
        What::Lengths(args) => lengths::run(args, context),
        What::Text(args) => text::run(args, context),
        What::Open(args) => open::run(args, context),
        What::Serve(args) => serve::run(args, context),
    }
}
