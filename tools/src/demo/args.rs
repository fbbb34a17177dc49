//! What the user says.

use lacuna::Preset;
use lacuna_console::args;

/// Run the shipped model on real sentences; needs no files
///
/// Embeds eight sentences with all-MiniLM-L6-v2, of which 80 % of the weights are zero, prints how similar they are, checks the results
/// against the portable kernels, and times the model beside dense ones of the same shape in f32 and in int8. With --preset, --sparsity or
/// --seed the whole pipeline runs on a model with random weights: it is pruned, calibrated, quantised, compiled, checked and timed.
/// Exit status 1 if a check fails.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lacuna demo
  lacuna demo --tokens 32 --threads 2
  lacuna demo --tier portable            without generated code
  lacuna demo --preset minilm --sparsity 0.9
  lacuna demo --json | jq .times

Presets: bert-mini, minilm, distilbert, bert-base, bert-large, electra-small (shapes only; the vocabulary is small).
Random weights say nothing about what pruning costs in accuracy: that is what `lacuna evaluate` is for.")]
pub(crate) struct Args {
    /// Shape of a model with random weights [default: the shipped model; bert-mini with --sparsity or --seed]
    #[arg(long)]
    pub(super) preset: Option<Preset>,

    /// Of random weights: fraction of 4x1 blocks that are zero, 0 <= S < 1 [default: 0.9]
    #[arg(long, value_name = "S", allow_hyphen_values = true, value_parser = args::sparsity)]
    pub(super) sparsity: Option<f64>,

    /// Tokens of the sequence that is timed
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = args::at_least_one)]
    pub(super) tokens: usize,

    /// Seed of random weights and tokens [default: 1]
    #[arg(long)]
    pub(super) seed: Option<u64>,

    /// List every layer
    #[arg(long)]
    pub(super) verbose: bool,

    /// Print as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Random weights where no others are asked for.
const SEED: u64 = 1;

impl Args {
    /// What is asked of a model with random weights; none if the shipped model is wanted.
    pub(super) fn random(&self) -> Option<Random> {
        match (self.preset, self.sparsity, self.seed) {
            (None, None, None) => None,
            (preset, sparsity, seed) => Some(Random {
                preset: preset.unwrap_or(Preset::BertMini),
                sparsity: sparsity.unwrap_or(0.9),
                seed: seed.unwrap_or(SEED),
                tokens: self.tokens,
            }),
        }
    }
}

/// A model with random weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Random {
    pub(super) preset: Preset,
    /// Fraction of zero 4x1 blocks.
    pub(super) sparsity: f64,
    pub(super) seed: u64,
    /// Of the sequence that is timed.
    pub(super) tokens: usize,
}
