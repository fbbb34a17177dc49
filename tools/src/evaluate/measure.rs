//! Embeddings of the pairs, in f32 and as compiled.

use std::path::{Path, PathBuf};
use std::time::Instant;

use lacuna::errors::ModelError;
use lacuna::tasks::ClassifyRecord;
use lacuna::tokens::{PromptedTexts, SentenceTokenizer};
use lacuna::{CalibratedModel, Encoder, Form, Model};
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::output::say;
use lacuna_console::progress::Spinner;
use lacuna_console::stats::Cosines;
use lacuna_console::table::plural;
use lacuna_console::zeros::Pruned;

use super::args::Args;
use super::pairs::Pairs;
use super::report::{Evaluation, Point};
use super::schemes::Schemes;
use crate::calibration::CalibrationSummary;
use crate::model::{self, of_embeddings};
use crate::packed::{needs_weights, open};

/// Everything that the options ask for.
pub(super) fn evaluate(args: &Args, path: &Path, context: &Context) -> Result<Evaluation> {
    let pairs = Pairs::read(path)?;
    match args.source.packed_path()? {
        Some(path) => evaluate_packed(args, &pairs, path, context),
        None => evaluate_model(args, &pairs, context),
    }
}

/// Of a packed model only the correlations: it holds no f32 weights to compare with.
fn evaluate_packed(args: &Args, pairs: &Pairs, path: PathBuf, context: &Context) -> Result<Evaluation> {
    let packed = open(path)?;
    args.calibration.check_packed(&packed)?;
    if !args.sparsity.is_empty() {
        return Err(needs_weights(&packed, "--sparsity", "prune with lacuna pack --sparsity"));
    }
    if args.schemes {
        return Err(needs_weights(&packed, "--schemes", "give the folder"));
    }
    let remarks = of_embeddings(packed.remarks());
    remarks.iter().for_each(say);
    let encoder = packed.compiler().tier(context.tier).compile()?;
    let (embeddings, truncated, milliseconds) = embed(&encoder, pairs)?;
    let point = Point {
        sparsity: packed.pruning().map(|pruning| pruning.sparsity),
        spearman_int8: pairs.spearman(&embeddings),
        pearson_int8: pairs.pearson(&embeddings),
        milliseconds_int8: milliseconds,
        ..Point::default()
    };
    Ok(Evaluation {
        model: args.source.name(),
        pairs: pairs.scores.len(),
        calibration_sentences: packed.calibration().map_or(0, |basis| basis.texts),
        calibration: CalibrationSummary::packed(&packed),
        tier: context.tier.name(),
        spearman_f32: None,
        pearson_f32: None,
        milliseconds_f32: None,
        truncated,
        unseen_lengths: None,
        first: point,
        results: vec![],
        remarks,
    })
}

fn evaluate_model(args: &Args, pairs: &Pairs, context: &Context) -> Result<Evaluation> {
    let texts = args.calibration.texts::<ClassifyRecord>()?;
    let model = {
        let folder = args.source.folder()?.unwrap_or_default(); // clap guarantees that there is one
        model::read(&folder)?
    };
    let tokenizer = model.tokenizer().ok_or(ModelError::NoTokenizer)?;
    let start = Instant::now();
    let (ids, prompt_tokens) = token_ids(tokenizer, model.prompts().default_text(), &pairs.sentences)?;
    let unpruned = reference(&model, &ids, prompt_tokens)?;
    let milliseconds_f32 = per_sentence(start, pairs);
    let sparsities: Vec<Option<f64>> = match &args.sparsity[..] {
        [] => vec![None],
        list => list.iter().copied().map(Some).collect(),
    };
    let (mut results, mut last) = (Vec::with_capacity(sparsities.len()), None);
    let mut remarks = of_embeddings(model.remarks());
    remarks.iter().for_each(say);
    for asked in sparsities {
        let pruned = Pruned::new(model.clone(), args.block, asked)?;
        if let Some(said) = pruned.warning().map(str::to_owned).or(pruned.remark())
            && !remarks.contains(&said)
        {
            say(&said);
            remarks.push(said);
        }
        let sparsity = asked.map(|_| pruned.sparsity());
        let pruned = pruned.model;
        let of_pruned = asked.map(|_| reference(&pruned, &ids, prompt_tokens)).transpose()?;
        let reference = of_pruned.as_ref().unwrap_or(&unpruned);
        let schemes = args.schemes.then(|| {
            Schemes {
                pairs,
                ids: &ids,
                prompt_tokens,
                reference,
                calibration: &args.calibration,
                texts: texts.as_ref(),
            }
            .compare(&pruned, context)
        });
        let schemes = schemes.transpose()?;
        let calibrated = args.calibration.run(pruned, texts.as_ref(), context.tier)?;
        let encoder = model::compile(&calibrated, Form::Auto, context)?;
        let (embeddings, truncated, milliseconds) = embed(&encoder, pairs)?;
        let cosines = Cosines::between(&embeddings, reference);
        results.push(Point {
            sparsity,
            spearman_f32_pruned: of_pruned.as_ref().map(|pruned| pairs.spearman(pruned)),
            spearman_int8: pairs.spearman(&embeddings),
            pearson_f32_pruned: of_pruned.as_ref().map(|pruned| pairs.pearson(pruned)),
            pearson_int8: pairs.pearson(&embeddings),
            milliseconds_int8: milliseconds,
            cosine_mean: Some(cosines.mean),
            cosine_min: Some(cosines.min),
            schemes,
        });
        last = Some((calibrated, truncated));
    }
    let missing = || Error::Argument { option: "--sparsity", found: "none".into(), expected: "at least one".into() };
    let (calibrated, truncated) = last.ok_or_else(missing)?;
    let first = results.first().cloned().ok_or_else(missing)?;
    Ok(Evaluation {
        model: args.source.name(),
        pairs: pairs.scores.len(),
        calibration_sentences: calibrated.basis().texts,
        calibration: Some(args.calibration.summary(calibrated.basis())),
        tier: context.tier.name(),
        spearman_f32: Some(pairs.spearman(&unpruned)),
        pearson_f32: Some(pairs.pearson(&unpruned)),
        milliseconds_f32: Some(milliseconds_f32),
        truncated,
        unseen_lengths: Some(unseen(&calibrated, &ids)),
        first,
        results: if results.len() > 1 { results } else { vec![] },
        remarks,
    })
}

/// The embeddings of all sentences, how many of these were truncated, and the milliseconds that one takes.
fn embed(encoder: &Encoder, pairs: &Pairs) -> Result<(Vec<Vec<f32>>, usize, f64)> {
    let start = Instant::now();
    let _spinner = Spinner::new(format!("embedding {}", plural(pairs.sentences.len(), "sentence")));
    let embeddings = encoder.embed(&pairs.sentences)?;
    let milliseconds = per_sentence(start, pairs);
    Ok((embeddings.vectors, embeddings.truncated.len(), milliseconds))
}

/// Milliseconds since `start`, for each sentence.
fn per_sentence(start: Instant, pairs: &Pairs) -> f64 {
    start.elapsed().as_secs_f64() * 1e3 / pairs.sentences.len() as f64
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

/// How many of the sequences are shorter or longer than all that calibration saw.
fn unseen(calibrated: &CalibratedModel, ids: &[Vec<u32>]) -> usize {
    let (short, long) = calibrated.basis().lengths;
    ids.iter().filter(|ids| !(short..=long).contains(&ids.len())).count()
}

fn reference(model: &Model, ids: &[Vec<u32>], prompt_tokens: usize) -> Result<Vec<Vec<f32>>> {
    let _spinner = Spinner::new("running the f32 reference");
    Ok(model.reference().embed_prompted(ids, model.pooling(), prompt_tokens)?)
}
