//! What the user says.

use std::path::PathBuf;

use clap::ArgGroup;
use lacuna::Block;
use lacuna_console::args;
use lacuna_console::source::{SourceArgs, at_most_one};

use crate::calibration::CalibrationArgs;

/// Measure accuracy on a file with gold answers
///
/// The option that names the file chooses the task: --pairs, --labelled, --tagged, --questions or --ranked. Prints the metrics of the
/// task and the time per sequence, for the f32 reference, for the compiled int8 model, and for every file of --packed. A packed file holds
/// no f32 weights: it is measured as it runs. Of --pairs the cosine to the f32 embeddings of every sentence is printed, too. All models
/// are timed in turn, after a run that is not timed, on 32 sequences at once that are spread over the file.
#[derive(clap::Args)]
#[command(group(at_most_one()))]
#[command(group(ArgGroup::new("gold").required(true).multiple(false).args(["pairs", "labelled", "tagged", "questions", "ranked"])))]
#[command(after_help = "\
Examples:
  lacuna evaluate --model all-MiniLM-L6-v2 --pairs stsb-en-dev.csv
  lacuna evaluate --model all-MiniLM-L6-v2 --pairs stsb-en-dev.csv --calibrate stsb-en-train.csv --schemes
  lacuna evaluate --model all-MiniLM-L6-v2 --pairs stsb-en-dev.csv --sparsity 0.5,0.8 --json
  lacuna evaluate --model all-MiniLM-L6-v2 --packed minilm-80.lacuna minilm-90.lacuna --pairs stsb-en-dev.csv
  lacuna evaluate --pairs stsb-en-dev.csv                the shipped model
  lacuna evaluate --model minilm.lacuna --pairs stsb-en-dev.csv
  lacuna evaluate --model all-MiniLM-L6-v2 --beside minilm-80 minilm-small.lacuna --pairs stsb-en-dev.csv --pareto models.html
  lacuna evaluate --model distilbert-sst2 --labelled sst2-dev.csv
  lacuna evaluate --model bert-base-NER --tagged conll-test.jsonl --sparsity 0.5 --json
  lacuna evaluate --model roberta-base-squad2 --questions squad-dev.jsonl
  lacuna evaluate --model ms-marco-MiniLM-L6-v2 --ranked queries.jsonl

The pairs file has rows of sentence1,sentence2,score without a heading; fields with commas are quoted. Lines of the other files:
  --labelled   text,label or text,pair,label (.csv), or {\"text\":\"...\",\"pair\":\"...\",\"label\":\"...\"}
  --tagged     {\"tokens\":[...],\"tags\":[...]} or {\"text\":\"...\",\"entities\":[{\"start\":0,\"end\":3,\"label\":\"PER\"}]}
  --questions  {\"question\":\"...\",\"context\":\"...\",\"answers\":[\"...\"]}
  --ranked     {\"query\":\"...\",\"passages\":[{\"text\":\"...\",\"relevance\":1}]}
Pruning without \
retraining costs accuracy that no quantisation brings back: with --sparsity, the pruned f32 model is listed too.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) source: SourceArgs,

    /// Packed files to measure beside the model, or without --model alone
    #[arg(long, value_name = "FILE.lacuna", num_args = 1..)]
    pub(super) packed: Vec<PathBuf>,

    /// Prune every linear layer to these fractions of zero blocks, one after the other, 0 <= S < 1, by magnitude [default: take the
    /// zeros that are there]
    #[arg(long, value_name = "S,..", value_delimiter = ',', allow_hyphen_values = true, value_parser = args::sparsity)]
    pub(super) sparsity: Vec<f64>,

    /// Block shape of --sparsity, outputs x inputs: 4x1, 1x4, 4x4, 8x1, 16x1, unstructured
    #[arg(long, default_value = "4x1", requires = "sparsity")]
    pub(super) block: Block,

    /// Pairs with scores, sentence1,sentence2,score: Spearman's and Pearson's correlation of the cosines with the scores
    #[arg(long, value_name = "FILE.csv")]
    pub(super) pairs: Option<PathBuf>,

    /// Texts or pairs of texts with labels, .csv or lines of JSON: accuracy, macro and micro F1, Matthews correlation
    #[arg(long, value_name = "FILE")]
    pub(super) labelled: Option<PathBuf>,

    /// Words with tags, or texts with entities, lines of JSON: F1, precision and recall of entities, as seqeval counts
    #[arg(long, value_name = "FILE.jsonl")]
    pub(super) tagged: Option<PathBuf>,

    /// Questions with contexts and answers, lines of JSON: exact match and F1, as the script of SQuAD 2.0 computes them
    #[arg(long, value_name = "FILE.jsonl")]
    pub(super) questions: Option<PathBuf>,

    /// Queries with passages and their relevance, lines of JSON: MRR@10 and nDCG@10
    #[arg(long, value_name = "FILE.jsonl")]
    pub(super) ranked: Option<PathBuf>,

    /// Compare ways to quantise: plain static int8, the default, the choice by measured error, and what the options say, with the time
    /// that each takes. For --pairs
    #[arg(long)]
    pub(super) schemes: bool,

    /// More models, each a folder or a packed file: all are measured in int8 as they run, with the time of one sequence, taken in turn
    #[arg(long, value_name = "MODEL", num_args = 1..)]
    pub(super) beside: Vec<PathBuf>,

    /// Also write a page with a chart of all models: the first metric of the task against time
    #[arg(long, value_name = "FILE.html")]
    pub(super) pareto: Option<PathBuf>,

    /// Tokens of the sequence that is timed for --beside and --pareto
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = args::at_least_one)]
    pub(super) seq: usize,

    /// Print as JSON
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) calibration: CalibrationArgs,
}
