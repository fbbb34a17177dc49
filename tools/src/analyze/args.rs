//! What the user says.

use std::path::PathBuf;

use lacuna::Block;
use lacuna_console::args;
use lacuna_console::source::{SourceArgs, exactly_one};

/// Show what pruning each matrix of a model would cost, and how fast the model would be
///
/// Eliminates the blocks of every linear layer, cheapest first, with the second-order statistics of its inputs on your texts, and adds up
/// what that costs: the error of the layer's outputs relative to their energy, if the weights that are kept are refitted. Nothing is
/// trained and nothing is written. The time of the whole model at each sparsity is measured with generated code.
#[derive(clap::Args)]
#[command(group = exactly_one(&[]))]
#[command(after_help = "\
Examples:
  lacuna analyze --model all-MiniLM-L6-v2 --data texts.txt
  lacuna analyze --model all-MiniLM-L6-v2 --data texts.txt --block 4x1,8x1,4x4 --sparsity 0.5,0.8,0.9 --json

Columns: one per sparsity, the error of the matrix alone in percent of the energy of its outputs. Below 5 % little is lost; above 30 % \
training has to win much back. The last lines have the mean over all matrices, the measured time of a sequence of --seq tokens, and how \
many times faster than dense int8 that is.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) source: SourceArgs,

    /// How zeros are grouped; a comma-separated list of 4x1, 8x1, 16x1, 4x4, 1x4, unstructured
    #[arg(long, value_name = "BLOCK,..", value_delimiter = ',', default_value = "4x1")]
    pub(super) block: Vec<Block>,

    /// Fractions of blocks that would be zero
    #[arg(long, value_name = "S,..", value_delimiter = ',', default_value = "0.5,0.6,0.7,0.8,0.9,0.95", value_parser = args::sparsity)]
    pub(super) sparsity: Vec<f64>,

    /// Texts of the kind that the model will see, as of lacuna compress [default: the built-in calibration texts]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(super) data: Vec<PathBuf>,

    /// Tokens of texts that are looked at
    #[arg(long, value_name = "N", default_value_t = 16_000, value_parser = args::at_least_one)]
    pub(super) calibration_tokens: usize,

    /// Tokens of the sequence that is timed
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = args::at_least_one)]
    pub(super) seq: usize,

    /// Print as JSON
    #[arg(long)]
    pub(super) json: bool,
}
