//! `lacuna evaluate`: what quantisation and pruning do to the embeddings, on sentence pairs with gold scores.

mod pairs;
mod schemes;

use std::fmt::Write as _;
use std::path::PathBuf;

use lacuna::errors::ModelError;
use lacuna::tokens::{PromptedTexts, SentenceTokenizer};
use lacuna::{Form, Model};
use lacuna_console::context::{Context, pool};
use lacuna_console::error::Result;
use lacuna_console::output::{print, print_json, say};
use lacuna_console::progress::Spinner;
use lacuna_console::sentences::spread;
use lacuna_console::stats::Cosines;
use lacuna_console::table::Table;
use serde::Serialize;

use self::pairs::Pairs;
use self::schemes::{Row, Schemes};
use crate::calibration::{CalibrationArgs, calibrate};
use crate::model::{self, ModelArgs};

/// Measure accuracy on sentence pairs with gold scores (STS benchmark format)
///
/// Prints Spearman's rank correlation between the cosines of the pairs and their gold scores, for the f32 reference and
/// for the compiled int8 model, and the cosine between the two models' embeddings of every sentence.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lacuna evaluate --model all-MiniLM-L6-v2 --pairs stsb-en-dev.csv --calibrate stsb-en-train.csv
  lacuna evaluate --model all-MiniLM-L6-v2 --pairs stsb-en-dev.csv --calibrate stsb-en-train.csv --schemes
  lacuna evaluate --model all-MiniLM-L6-v2 --pairs stsb-en-dev.csv --sparsity 0.5 --json

The pairs file has rows of sentence1,sentence2,score without a heading; fields with commas are quoted. Without --calibrate, the pairs' \
own first sentences are taken. Pruning without \
retraining costs accuracy that no quantisation brings back: with --sparsity, the pruned f32 model is listed too.")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// Pairs with scores: sentence1,sentence2,score
    #[arg(long, value_name = "FILE.csv")]
    pairs: PathBuf,

    /// Compare ways to quantise: plain static int8, the default, the choice by measured error, and what the options say, with the time
    /// that each takes
    #[arg(long)]
    schemes: bool,

    /// Print as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    calibration: CalibrationArgs,
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
    /// Sentences that are shorter or longer than any that calibration saw.
    unseen_lengths: usize,
    /// With `--schemes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    schemes: Option<Vec<Row>>,
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
    let calibration = args.calibration.read()?.unwrap_or_else(|| {
        say("calibrated on the pairs' own first sentences; --calibrate FILE takes others");
        let own: Vec<String> = pairs.sentences.iter().step_by(2).cloned().collect();
        spread(own, args.calibration.sentences)
    });
    let model = args.model.read()?;
    let tokenizer = model.tokenizer().ok_or(ModelError::NoTokenizer)?;
    let prompt = model.prompts().default_text();
    let (ids, prompt_tokens) = token_ids(tokenizer, prompt, &pairs.sentences)?;
    let unseen_lengths = unseen(&token_ids(tokenizer, prompt, &calibration)?.0, &ids);
    let read = reference(&model, &ids, prompt_tokens)?;
    let model = args.model.pruning.apply(model)?;
    let pruned = args.model.pruning.sparsity.map(|_| reference(&model, &ids, prompt_tokens)).transpose()?;
    let schemes = args.schemes.then(|| {
        let reference = pruned.as_ref().unwrap_or(&read);
        Schemes { pairs: &pairs, ids: &ids, prompt_tokens, reference, calibration: &calibration }.compare(
            &model,
            &args.calibration.scheme,
            context,
        )
    });
    let schemes = schemes.transpose()?;
    let calibrated = calibrate(model, &calibration, &args.calibration.scheme.options())?;
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
        unseen_lengths,
        schemes,
    })
}

/// The token ids of sentences with the model's prompt before each, and how many of them are the prompt.
fn token_ids(
    tokenizer: &SentenceTokenizer,
    prompt: Option<&str>,
    sentences: &[String],
) -> Result<(Vec<Vec<u32>>, usize)> {
    let PromptedTexts { encoded, prompt_tokens } = PromptedTexts::new(tokenizer, prompt, sentences)?;
    Ok((encoded.into_iter().map(|encoded| encoded.ids).collect(), prompt_tokens))
}

/// How many of the sequences are shorter or longer than all that were seen.
fn unseen(seen: &[Vec<u32>], ids: &[Vec<u32>]) -> usize {
    let lengths = || seen.iter().map(Vec::len);
    let (short, long) = (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0));
    ids.iter().filter(|ids| !(short..=long).contains(&ids.len())).count()
}

fn reference(model: &Model, ids: &[Vec<u32>], prompt_tokens: usize) -> Result<Vec<Vec<f32>>> {
    let _spinner = Spinner::new("running the f32 reference");
    Ok(model.reference().embed_prompted(ids, model.pooling(), prompt_tokens)?)
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
            let _ = write!(text, ", {} sentences truncated to the model's limit", self.truncated);
        }
        if self.unseen_lengths > 0 {
            let _ = write!(text, "; {} sentences are shorter or longer than these", self.unseen_lengths);
        }
        match &self.schemes {
            Some(schemes) => format!("{text}\n\n{}", schemes::table(schemes)),
            None => format!("{text}\n\n{table}"),
        }
    }
}
