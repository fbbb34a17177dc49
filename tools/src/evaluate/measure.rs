//! Embeddings of the pairs, in f32, as compiled, and as packed.

use std::path::Path;
use std::sync::Arc;

use lacuna::errors::ModelError;
use lacuna::tasks::{Backbone, ClassifyRecord, Embedder};
use lacuna::tokens::{PromptedTexts, SentenceTokenizer};
use lacuna::{CalibratedModel, Encoder, Form, Model, PackedModel};
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::output::say;
use lacuna_console::progress::Spinner;
use lacuna_console::stats::Cosines;
use lacuna_console::table::plural;
use lacuna_console::zeros::Pruned;

use super::args::Args;
use super::measured::Measured;
use super::report::{Evaluation, Point};
use super::schemes::Schemes;
use super::timing::{self, Call};
use crate::calibration::CalibrationSummary;
use crate::model::{self, of_embeddings};
use crate::packed::{needs_weights, open};
use crate::shipped;
use lacuna_data::pairs::Pairs;

/// Everything that the options ask for. Without any model the shipped one is measured.
pub(super) fn evaluate(args: &Args, path: &Path, context: &Context) -> Result<Evaluation> {
    let pairs = Pairs::read("--pairs", path)?;
    let source = args.source.packed_path()?;
    let has_weights = args.source.is_given() && source.is_none();
    let mut files = source.into_iter().chain(args.packed.iter().cloned());
    let mut rows = Rows { pairs: &pairs, reference: None, measured: Vec::new(), timed: Vec::new() };
    let mut evaluation = if has_weights {
        evaluate_model(args, &mut rows, context)?
    } else {
        let (name, packed) = match files.next() {
            Some(file) => (file.display().to_string(), open(file)?),
            None => (shipped::PATH.to_owned(), shipped::open_by_default()?),
        };
        evaluate_packed(args, &mut rows, (name, &packed), context)?
    };
    for file in files {
        let name = file.display().to_string();
        rows.packed((name, &open(file)?), context)?;
    }
    let times = rows.time()?;
    evaluation.measured = rows.measured;
    evaluation.measured.iter_mut().zip(times).for_each(|(row, time)| row.milliseconds_per_sequence = Some(time));
    evaluation.take_times();
    Ok(evaluation)
}

/// The rows of the report, and what is still to be timed: a model for each of them.
struct Rows<'a> {
    pairs: &'a Pairs,
    /// Embeddings of the f32 model as it was read.
    reference: Option<Vec<Vec<f32>>>,
    measured: Vec<Measured>,
    timed: Vec<Embedder>,
}

impl Rows<'_> {
    /// Adds the embeddings that a model gave, and their cosines to those of `reference`.
    fn add(
        &mut self,
        (model, name, sparsity): (&str, &'static str, Option<f64>),
        embeddings: &[Vec<f32>],
        cosines: Option<&Cosines>,
        backbone: Arc<dyn Backbone>,
    ) {
        let mut scores =
            vec![("spearman", self.pairs.spearman(embeddings)), ("pearson", self.pairs.pearson(embeddings))];
        if let Some(cosines) = cosines {
            scores.extend([("cosine_mean", cosines.mean), ("cosine_min", cosines.min)]);
        }
        let model = model.to_owned();
        self.measured.push(Measured { model, name, sparsity, scores, milliseconds_per_sequence: None });
        self.timed.push(Embedder::new(backbone));
    }

    /// Adds a packed model; gives how many sentences were truncated.
    fn packed(&mut self, (name, packed): (String, &PackedModel), context: &Context) -> Result<usize> {
        let encoder = packed.compiler().tier(context.tier).compile()?;
        let (embeddings, truncated) = embed(&encoder, self.pairs)?;
        // Another model may have other features.
        let features = |vectors: &[Vec<f32>]| vectors.first().map(Vec::len);
        let reference = self.reference.as_ref().filter(|reference| features(reference) == features(&embeddings));
        let cosines = reference.map(|reference| Cosines::between(&embeddings, reference));
        let sparsity = packed.pruning().map(|pruning| pruning.sparsity);
        self.add((&name, "packed", sparsity), &embeddings, cosines.as_ref(), Arc::new(encoder));
        Ok(truncated)
    }

    /// Times all models in turn, on sentences that are spread over the pairs; milliseconds per sentence.
    fn time(&self) -> Result<Vec<f64>> {
        let texts: Vec<&String> = timing::spread(&self.pairs.sentences, timing::TIMED).collect();
        let texts = &texts;
        let call = |model| -> Call<'_> { Box::new(move || Ok(Embedder::embed(model, texts).map(drop)?)) };
        timing::milliseconds(self.timed.iter().map(call).collect(), texts.len())
    }
}

/// Of a packed model only the correlations: it holds no f32 weights to compare with.
fn evaluate_packed(
    args: &Args,
    rows: &mut Rows<'_>,
    (name, packed): (String, &PackedModel),
    context: &Context,
) -> Result<Evaluation> {
    args.calibration.check_packed(packed)?;
    if !args.sparsity.is_empty() {
        return Err(needs_weights(packed, "--sparsity", "prune with lacuna pack --sparsity"));
    }
    if args.schemes {
        return Err(needs_weights(packed, "--schemes", "give the folder"));
    }
    let remarks = of_embeddings(packed.remarks());
    remarks.iter().for_each(say);
    let truncated = rows.packed((name.clone(), packed), context)?;
    let row = rows.measured.len() - 1;
    Ok(Evaluation {
        model: name,
        pairs: rows.pairs.scores.len(),
        calibration_sentences: packed.calibration().map_or(0, |basis| basis.texts),
        calibration: CalibrationSummary::packed(packed),
        tier: context.tier.name(),
        spearman_f32: None,
        pearson_f32: None,
        milliseconds_f32: None,
        truncated,
        unseen_lengths: None,
        first: Point::of(row, &rows.measured[row], None, None),
        results: vec![],
        measured: vec![],
        remarks,
    })
}

fn evaluate_model(args: &Args, rows: &mut Rows<'_>, context: &Context) -> Result<Evaluation> {
    let pairs = rows.pairs;
    let texts = args.calibration.texts::<ClassifyRecord>()?;
    let name = args.source.name();
    let model = {
        let folder = args.source.folder()?.unwrap_or_default(); // there is one
        model::read(&folder)?
    };
    let tokenizer = model.tokenizer().ok_or(ModelError::NoTokenizer)?;
    let (ids, prompt_tokens) = token_ids(tokenizer, model.prompts().default_text(), &pairs.sentences)?;
    let unpruned = reference(&model, &ids, prompt_tokens)?;
    rows.add((&name, "f32", None), &unpruned, None, Arc::new(model.clone()));
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
        if let Some(embeddings) = &of_pruned {
            rows.add((&name, "f32 pruned", sparsity), embeddings, None, Arc::new(pruned.clone()));
        }
        let pruned_row = of_pruned.as_ref().and_then(|_| rows.measured.last().cloned());
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
        let (embeddings, truncated) = embed(&encoder, pairs)?;
        let cosines = Cosines::between(&embeddings, reference);
        rows.add((&name, "int8", sparsity), &embeddings, Some(&cosines), Arc::new(encoder));
        let row = rows.measured.len() - 1;
        results.push(Point::of(row, &rows.measured[row], pruned_row.as_ref(), schemes));
        last = Some((calibrated, truncated));
    }
    let missing = || Error::Argument { option: "--sparsity", found: "none".into(), expected: "at least one".into() };
    let (calibrated, truncated) = last.ok_or_else(missing)?;
    let first = results.first().cloned().ok_or_else(missing)?;
    let evaluation = Evaluation {
        model: name,
        pairs: pairs.scores.len(),
        calibration_sentences: calibrated.basis().texts,
        calibration: Some(args.calibration.summary(calibrated.basis())),
        tier: context.tier.name(),
        spearman_f32: Some(pairs.spearman(&unpruned)),
        pearson_f32: Some(pairs.pearson(&unpruned)),
        milliseconds_f32: None,
        truncated,
        unseen_lengths: Some(unseen(&calibrated, &ids)),
        first,
        results: if results.len() > 1 { results } else { vec![] },
        measured: vec![],
        remarks,
    };
    rows.reference = Some(unpruned);
    Ok(evaluation)
}

/// The embeddings of all sentences, and how many of these were truncated.
fn embed(encoder: &Encoder, pairs: &Pairs) -> Result<(Vec<Vec<f32>>, usize)> {
    let _spinner = Spinner::new(format!("embedding {}", plural(pairs.sentences.len(), "sentence")));
    let embeddings = encoder.embed(&pairs.sentences)?;
    Ok((embeddings.vectors, embeddings.truncated.len()))
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
