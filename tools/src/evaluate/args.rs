//! What the user says.

use std::path::PathBuf;

use lacuna::Block;
use lacuna_console::args;
use lacuna_console::source::{SourceArgs, exactly_one};

use crate::calibration::CalibrationArgs;

/// Measure accuracy on sentence pairs with gold scores (STS benchmark format)
///
/// Prints Spearman's rank correlation between the cosines of the pairs and their gold scores, for the f32 reference and
/// for the compiled int8 model, and the cosine between the two models' embeddings of every sentence. A file of lacuna pack holds no
/// f32 weights: of it only the rank correlation is measured.
#[derive(clap::Args)]
#[command(group(exactly_one(&[])))]
#[command(after_help = "\
Examples:
  lacuna evaluate --model all-MiniLM-L6-v2 --pairs stsb-en-dev.csv
  lacuna evaluate --model all-MiniLM-L6-v2 --pairs stsb-en-dev.csv --calibrate stsb-en-train.csv --schemes
  lacuna evaluate --model all-MiniLM-L6-v2 --pairs stsb-en-dev.csv --sparsity 0.5,0.8 --json
  lacuna evaluate --model minilm.lacuna --pairs stsb-en-dev.csv

The pairs file has rows of sentence1,sentence2,score without a heading; fields with commas are quoted. Pruning without \
retraining costs accuracy that no quantisation brings back: with --sparsity, the pruned f32 model is listed too.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) source: SourceArgs,

    /// Prune every linear layer to these fractions of zero blocks, one after the other, 0 <= S < 1, by magnitude [default: take the
    /// zeros that are there]
    #[arg(long, value_name = "S,..", value_delimiter = ',', allow_hyphen_values = true, value_parser = args::sparsity)]
    pub(super) sparsity: Vec<f64>,

    /// Block shape of --sparsity, outputs x inputs: 4x1, 1x4, 4x4, 8x1, 16x1, unstructured
    #[arg(long, default_value = "4x1", requires = "sparsity")]
    pub(super) block: Block,

    /// Pairs with scores: sentence1,sentence2,score
    #[arg(long, value_name = "FILE.csv")]
    pub(super) pairs: PathBuf,

    /// Compare ways to quantise: plain static int8, the default, the choice by measured error, and what the options say, with the time
    /// that each takes
    #[arg(long)]
    pub(super) schemes: bool,

    /// Print as JSON
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) calibration: CalibrationArgs,
}
