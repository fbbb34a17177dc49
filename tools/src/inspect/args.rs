//! The options of `lacuna inspect`.

use crate::model::{FormArg, ModelArgs};
use lacuna_console::source::at_most_one;

/// Show a model's tensors and zeros, and what would be generated for it
///
/// Reads and checks the model as `embed` does, prunes it if --sparsity is given, and compiles it, so that the kernels listed
/// are the ones that would run on this machine. Of a packed file the sections are listed, with their sizes. Without --model the
/// shipped model is shown.
#[derive(clap::Args)]
#[command(group(at_most_one()))]
#[command(after_help = "\
Examples:
  lacuna inspect --model all-MiniLM-L6-v2
  lacuna inspect --model all-MiniLM-L6-v2 --sparsity 0.9
  lacuna inspect --model all-MiniLM-L6-v2 --json | jq '.linears[0]'
  lacuna inspect --model minilm.lacuna

Zeros are counted as blocks, outputs x inputs: a 4x1 block is 4 output features of one input feature. The sparse \
kernels skip 4x1 blocks; density is the share of them that is stored, fill the share of stored weights that is not \
zero. Model cards on the hub often name the same shapes the other way round.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) model: ModelArgs,

    /// Which kernels run the linear layers
    #[arg(long, value_enum, default_value = "auto")]
    pub(super) form: FormArg,

    /// Print as JSON
    #[arg(long)]
    pub(super) json: bool,
}
