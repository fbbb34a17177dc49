//! `lacuna evaluate`: what quantisation and pruning do to the embeddings, on sentence pairs with gold scores.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lacuna::{Error as LibraryError, Form, Model};
use serde::Serialize;

use crate::args;
use crate::context::{Context, pool};
use crate::error::{Error, Result};
use crate::model::{self, CALIBRATION_SENTENCES, ModelArgs, csv_error};
use crate::output::{print, print_json, say};
use crate::progress::Spinner;
use crate::stats::{Cosines, cosine, spearman};
use crate::table::Table;

/// Measure accuracy on sentence pairs with gold scores (STS benchmark format)
///
/// Prints Spearman's rank correlation between the cosines of the pairs and their gold scores, for the f32 reference and
/// for the compiled int8 model, and the cosine between the two models' embeddings of every sentence.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lacuna evaluate --model all-MiniLM-L6-v2 --pairs stsb-en-dev.csv --calibrate stsb-en-train.csv
  lacuna evaluate --model all-MiniLM-L6-v2 --pairs stsb-en-dev.csv --sparsity 0.5 --json

The pairs file has rows of sentence1,sentence2,score without a heading; fields with commas are quoted. Pruning without \
retraining costs accuracy that no quantisation brings back: with --sparsity, the pruned f32 model is listed too.")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// Pairs with scores: sentence1,sentence2,score
    #[arg(long, value_name = "FILE.csv")]
    pairs: PathBuf,

    /// Calibration sentences: a text file, or the first column of a .csv [default: the pairs' first sentences]
    #[arg(long, value_name = "FILE")]
    calibrate: Option<PathBuf>,

    /// How many of the calibration sentences to use, from the first on
    #[arg(long, value_name = "N", default_value_t = CALIBRATION_SENTENCES, value_parser = args::at_least_one)]
    sentences: usize,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Sentence pairs with gold scores.
struct Pairs {
    /// Two sentences per pair, one after the other.
    sentences: Vec<String>,
    scores: Vec<f64>,
}

#[derive(Serialize)]
struct Evaluation {
    model: String,
    pairs: usize,
    calibration_sentences: usize,
    sparsity: Option<f64>,
    tier: &'static str,
    /// Of the f32 model as read.
    spearman_f32: f64,
    /// Of the f32 model after pruning, if it was pruned.
    spearman_f32_pruned: Option<f64>,
    /// Of the compiled model.
    spearman_int8: f64,
    /// Between the compiled model and the f32 model it was made from (pruned, if it was).
    cosine_mean: f64,
    cosine_min: f64,
    /// Sentences cut at the model's limit.
    truncated: usize,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let evaluation = pool(context.threads())?.install(|| evaluate(args, context))?;
    match args.json {
        true => print_json(&evaluation),
        false => print(evaluation.text()),
    }
}

fn evaluate(args: &Args, context: &Context) -> Result<Evaluation> {
    let pairs = Pairs::read(&args.pairs)?;
    let calibration = match &args.calibrate {
        Some(path) => model::calibration_file(path, args.sentences)?,
        None => {
            say("calibrated on the pairs' own first sentences; --calibrate FILE takes others");
            pairs.sentences.iter().step_by(2).take(args.sentences).cloned().collect()
        }
    };
    let model = args.model.read()?;
    let tokenizer = model.tokenizer().ok_or(LibraryError::NoTokenizer)?;
    let ids: Vec<Vec<u32>> = tokenizer.encode_batch(&pairs.sentences)?.into_iter().map(|e| e.ids).collect();
    let read = reference(&model, &ids)?;
    let model = args.model.pruning.apply(model)?;
    let pruned = args.model.pruning.sparsity.map(|_| reference(&model, &ids)).transpose()?;
    let calibrated = model::calibrate(model, &calibration)?;
    let encoder = model::compile(&calibrated, Form::Auto, context)?;
    let embeddings = {
        let _spinner = Spinner::new(format!("embedding {} sentences", ids.len()));
        encoder.embed(&pairs.sentences)?
    };
    let cosines = Cosines::between(&embeddings, pruned.as_ref().unwrap_or(&read));
    Ok(Evaluation {
        model: args.model.source.name(),
        pairs: pairs.scores.len(),
        calibration_sentences: calibration.len(),
        sparsity: args.model.pruning.sparsity,
        tier: context.tier.name(),
        spearman_f32: pairs.spearman(&read),
        spearman_f32_pruned: pruned.map(|pruned| pairs.spearman(&pruned)),
        spearman_int8: pairs.spearman(&embeddings),
        cosine_mean: cosines.mean,
        cosine_min: cosines.min,
        truncated: embeddings.truncated.len(),
    })
}

fn reference(model: &Model, ids: &[Vec<u32>]) -> Result<Vec<Vec<f32>>> {
    let _spinner = Spinner::new("running the f32 reference");
    Ok(model.oracle().embed(ids, model.pooling())?)
}

impl Pairs {
    fn read(path: &Path) -> Result<Pairs> {
        let file = std::fs::File::open(path).map_err(Error::io(path, "open"))?;
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(file);
        let mut pairs = Pairs { sentences: Vec::new(), scores: Vec::new() };
        for row in reader.records() {
            let row = row.map_err(|error| csv_error(path, &error))?;
            let bad = |found, expected| Error::Row {
                path: path.to_owned(),
                line: row.position().map_or(0, csv::Position::line),
                found,
                expected,
            };
            let (Some(first), Some(second), Some(score), 3) = (row.get(0), row.get(1), row.get(2), row.len()) else {
                return Err(bad(format!("{} fields", row.len()), "sentence1,sentence2,score"));
            };
            match score.trim().parse::<f64>() {
                Ok(score) if score.is_finite() => pairs.scores.push(score),
                _ => return Err(bad(format!("score {score:?}"), "a number")),
            }
            pairs.sentences.extend([first.to_owned(), second.to_owned()]);
        }
        match pairs.scores.len() {
            0 | 1 => Err(Error::Argument {
                option: "--pairs",
                found: format!("{} pairs in {}", pairs.scores.len(), path.display()),
                expected: "at least 2".into(),
            }),
            _ => Ok(pairs),
        }
    }

    /// Rank correlation of the cosines of the pairs with their scores.
    fn spearman(&self, embeddings: &[Vec<f32>]) -> f64 {
        let cosines: Vec<f64> = embeddings.chunks_exact(2).map(|pair| cosine(&pair[0], &pair[1])).collect();
        spearman(&cosines, &self.scores)
    }
}

impl Evaluation {
    fn text(&self) -> String {
        let mut table = Table::new(&["<model", "Spearman", "cosine to f32: mean", "least"]);
        let reference =
            |name: &str, spearman: f64| [name.into(), format!("{spearman:.4}"), String::new(), String::new()];
        table.row(reference("f32", self.spearman_f32));
        if let Some(spearman) = self.spearman_f32_pruned {
            table.row(reference("f32, pruned", spearman));
        }
        table.row([
            format!("int8 ({})", self.tier),
            format!("{:.4}", self.spearman_int8),
            format!("{:.5}", self.cosine_mean),
            format!("{:.5}", self.cosine_min),
        ]);
        let mut text =
            format!("{}: {} pairs, calibrated on {} sentences", self.model, self.pairs, self.calibration_sentences);
        if let Some(sparsity) = self.sparsity {
            let _ = write!(text, ", pruned to {:.1} % zero blocks", sparsity * 1e2);
        }
        if self.truncated > 0 {
            let _ = write!(text, ", {} sentences cut at the model's limit", self.truncated);
        }
        format!("{text}\n\n{table}")
    }
}
