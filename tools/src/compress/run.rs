//! The steps of a run, in order.

use std::path::PathBuf;
use std::time::Instant;

use lacuna::errors::ModelError;
use lacuna::tokens::SentenceTokenizer;
use lacuna::weights::EncoderWeights;
use lacuna::{Compile, Model, PackedModel};
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::interrupt;
use lacuna_console::output::{Target, say};
use lacuna_console::progress::Spinner;
use lacuna_console::remarks::warn;
use lacuna_jit::cpu::brand;
use lacuna_train::mask::{Mask, masks_of};
use lacuna_train::ops::Pool;
use lacuna_train::prune::{MatrixReport, OneShotOptions, Progress, one_shot};

use super::args::{Args, Method};
use super::identity::Identity;
use super::log::{Event, Log};
use super::out::Out;
use super::page::page;
use super::reach::check_reach;
use super::summary::{Figures, Summary};
use super::texts::Texts;
use super::training::{Dev, Training};
use crate::command::quoted;
use crate::evaluate::pairs::Pairs;
use crate::model;
use crate::packed::{needs_weights, open};

/// Everything that the options ask for.
pub(super) fn compress(args: &Args, context: &Context) -> Result<Summary> {
    args.check()?;
    let out = Out::new(&args.out)?;
    let html = args.html.as_deref().map(|path| Target::new(Some(path))).transpose()?;
    if let Some(path) = args.source.packed_path()? {
        return Err(needs_weights(&open(path)?, "lacuna compress", "give the model's folder"));
    }
    let pairs = args.pairs.as_deref().map(Pairs::read).transpose()?;
    let mut log = Log::new(args.log.as_deref(), args.resume)?;
    let dense = model::read(&args.source.folder()?.unwrap_or_default())?; // clap guarantees that there is one
    let tokenizer = dense.tokenizer().ok_or(ModelError::NoTokenizer).map_err(lacuna::Error::from)?;
    Pool::of(dense.pooling())?; // refused before the work is done
    let teacher = args.teacher.as_deref().map(model::read).transpose()?;
    if let Some(teacher) = &teacher {
        check_teacher(&dense, teacher)?;
    }
    check_zeros(args, &dense)?;
    if let Some(sparsity) = args.sparsity {
        check_reach(sparsity, args.block, &dense.weights().layers)?;
    }
    out.check_room(&dense, args.method == Method::Distil)?;
    let texts = {
        let _spinner = Spinner::new("reading texts");
        Texts::read(&args.data, tokenizer)?
    };
    texts.warnings.iter().for_each(warn);
    let dev = pairs.as_ref().map(|pairs| Dev::new(pairs, tokenizer)).transpose()?;
    let figure = |stage, weights: &EncoderWeights, log: &mut Log| -> Result<Option<f64>> {
        let Some(dev) = &dev else { return Ok(None) };
        let spearman = dev.spearman(&dense, weights)?;
        log.add(&Event::Dev { stage, step: 0, spearman });
        Ok(Some(spearman))
    };
    interrupt::listen("keeping what was learned")?;

    let dense_f32 = figure("dense", dense.weights(), &mut log)?;
    let start = Instant::now();
    let (mut weights, reports) = match args.sparsity {
        Some(sparsity) => pruned(args, &dense, &texts, sparsity, &mut log)?,
        None => (dense.weights().clone(), vec![]),
    };
    let pruning_seconds = start.elapsed().as_secs_f64();
    let pruned_f32 = if args.sparsity.is_some() { figure("pruned", &weights, &mut log)? } else { None };
    let mut trained = None;
    if args.method == Method::Distil {
        let mut name = args.out.clone().into_os_string();
        name.push(".checkpoint");
        let teacher = teacher.as_ref().unwrap_or(&dense);
        let checkpoint = PathBuf::from(name);
        let training =
            Training { args, model: &dense, teacher, texts: &texts, dev: dev.as_ref(), checkpoint: &checkpoint };
        let done = training.run(&weights, &mut log)?;
        weights = done.weights.clone();
        trained = Some((done, checkpoint));
    }

    let sparse = dense.clone().with_weights(weights).map_err(lacuna::Error::from)?;
    let f32 = figure("result", sparse.weights(), &mut log)?;
    let packed = {
        let _spinner = Spinner::new("calibrating and packing");
        let calibrated = sparse.clone().calibration().run_default()?;
        calibrated.compiler().tier(context.tier).small_tables(args.small_tables).pack()?
    };
    let int8 = pairs.as_ref().map(|pairs| int8(&packed, pairs, context)).transpose()?;
    let spearman = match (dense_f32, f32, int8) {
        (Some(dense_f32), Some(f32), Some(int8)) => Some(Figures { dense_f32, pruned_f32, f32, int8 }),
        _ => None,
    };
    let (matrices, zeros) = Summary::matrices(sparse.weights(), &reports);
    let done = trained.as_ref().map(|(done, _)| done);
    let summary = Summary {
        model: args.source.name(),
        teacher: args.teacher.as_ref().map(|path| path.display().to_string()),
        out: args.out.display().to_string(),
        method: match (args.lock, args.method) {
            (true, _) => "pattern lock",
            (_, Method::OneShot) => "one-shot",
            (_, Method::Distil) => "distil",
        },
        block: args.sparsity.map(|_| args.block.to_string()),
        zeros,
        matrices,
        texts: texts.used.clone(),
        pairs: pairs.as_ref().map(|pairs| pairs.scores.len()),
        spearman,
        steps: done.map_or(0, |done| done.steps),
        tokens: done.map_or(0, |done| done.tokens),
        pruning_seconds,
        training_seconds: done.map_or(0.0, |done| done.seconds),
        interrupted: done.is_some_and(|done| done.stopped),
        seed: args.seed,
        threads: context.threads(),
        cpu: brand(),
        command: command(),
    };
    {
        let _spinner = Spinner::new("writing");
        out.write(&sparse, &packed, &summary)?;
    }
    if let Some((done, checkpoint)) = &trained
        && !done.stopped
    {
        // The training is complete, and its result is written.
        std::fs::remove_file(checkpoint).map_err(Error::io(checkpoint, "remove"))?;
        Identity::remove(checkpoint)?;
    }
    let curves = log.finish()?;
    if let Some(html) = html {
        html.write(|out| out.write_all(page(&summary, &curves).as_bytes()))?;
    }
    Ok(summary)
}

/// Refuses a teacher whose tokens or states are others than those of the student.
fn check_teacher(student: &Model, teacher: &Model) -> Result<()> {
    let refuse = |found: String, expected: String| Err(Error::Argument { option: "--teacher", found, expected });
    let (own, other) = (student.config().hidden_size, teacher.config().hidden_size);
    if own != other {
        return refuse(format!("hidden size {other}"), format!("{own}, as the model has"));
    }
    if student.tokenizer().map(SentenceTokenizer::json) != teacher.tokenizer().map(SentenceTokenizer::json) {
        return refuse("another tokenizer.json".into(), "the tokenizer of the model: both read the same tokens".into());
    }
    Ok(())
}

/// Refuses `--lock` for a model without zeros.
fn check_zeros(args: &Args, model: &Model) -> Result<()> {
    let masks = masks_of(&model.weights().layers)?;
    let sparsest = masks.iter().flatten().flatten().map(Mask::sparsity).fold(0.0, f64::max);
    match args.lock && sparsest < 0.05 {
        true => Err(Error::Argument {
            option: "--lock",
            found: format!("at most {:.1} % zeros in a linear layer of {}", sparsest * 1e2, args.source.name()),
            expected: "a model that is already pruned, whose zeros are kept".into(),
        }),
        false => Ok(()),
    }
}

/// Prunes and refits.
fn pruned(
    args: &Args,
    dense: &Model,
    texts: &Texts,
    sparsity: f64,
    log: &mut Log,
) -> Result<(EncoderWeights, Vec<MatrixReport>)> {
    let calibration = texts.sample(args.calibration_tokens);
    let options = OneShotOptions::new(args.block, sparsity);
    say(format_args!("pruning on {} texts", calibration.len()));
    let mut progress = |progress: &Progress| match progress {
        Progress::Matrix(report) => {
            let &MatrixReport { layer, name, sparsity, relative_error, seconds } = report;
            log.add(&Event::Matrix { layer, name, sparsity, relative_error, seconds });
        }
        Progress::Layer(report) => {
            let (layer, hidden_error, seconds) = (report.layer, report.hidden_error, report.seconds);
            log.add(&Event::Layer { layer, hidden_error, seconds });
        }
        _ => {}
    };
    let found = one_shot(dense.config(), dense.weights(), &calibration, &options, &mut progress)?;
    Ok((found.weights, found.matrices))
}

/// The rank correlation of the model as it runs.
fn int8(packed: &PackedModel, pairs: &Pairs, context: &Context) -> Result<f64> {
    let _spinner = Spinner::new("embedding the pairs");
    let encoder = packed.compiler().tier(context.tier).compile()?;
    Ok(pairs.spearman(&encoder.embed(&pairs.sentences)?.vectors))
}

/// The command, as it is given again.
fn command() -> String {
    let words: Vec<String> = std::env::args().skip(1).map(|word| quoted(&word)).collect();
    format!("lacuna {}", words.join(" "))
}
