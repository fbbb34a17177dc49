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
use lacuna_train::prune::{OneShotOptions, Pruned};

use super::args::{Args, Goal, Method};
use super::identity::Identity;
use super::log::{Event, Log};
use super::out::Out;
use super::page::page;
use super::plan::Plan;
use super::pruning::Pruner;
use super::summary::{Figures, Summary};
use super::texts::Texts;
use super::training::{Dev, Training};
use super::{auto, target};
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
    check_seq(args, &dense)?;
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
    let mut name = args.out.clone().into_os_string();
    name.push(".checkpoint");
    let checkpoint = PathBuf::from(name);
    let pruner = Pruner {
        dense: &dense,
        calibration: texts.sample(args.calibration_tokens),
        may_reorder: !args.keep_order,
        seq: args.seq,
        seed: args.seed,
        context,
    };
    let known = if args.resume && checkpoint.exists() { Identity::plan(&checkpoint) } else { None };
    let (mut weights, reports, plan) = match pruned(&pruner, args.goal(), known, &mut log)? {
        Some((plan, found)) => (found.weights, found.matrices, Some(plan)),
        None => (dense.weights().clone(), vec![], None),
    };
    let pruning_seconds = start.elapsed().as_secs_f64();
    let pruned_f32 = if plan.is_some() { figure("pruned", &weights, &mut log)? } else { None };
    let mut trained = None;
    if args.method == Method::Distil {
        let teacher = teacher.as_ref().unwrap_or(&dense);
        let training = Training {
            args,
            model: &dense,
            teacher,
            texts: &texts,
            plan: plan.as_ref(),
            dev: dev.as_ref(),
            checkpoint: &checkpoint,
        };
        let done = training.run(&weights, &mut log)?;
        weights = done.weights.clone();
        trained = Some(done);
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
    let done = trained.as_ref();
    let measured_ms = match plan.as_ref().and_then(|plan| plan.times.as_ref()) {
        Some(_) => Some(pruner.seconds_of(&packed.compiler().tier(context.tier).compile()?)? * 1e3),
        None => None,
    };
    let summary = Summary {
        model: args.source.name(),
        teacher: args.teacher.as_ref().map(|path| path.display().to_string()),
        out: args.out.display().to_string(),
        method: match (args.lock, args.method) {
            (true, _) => "pattern lock",
            (_, Method::OneShot) => "one-shot",
            (_, Method::Distil) => "distil",
        },
        block: plan.as_ref().map(Plan::shapes),
        plan: plan.clone(),
        measured_ms,
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
    if trained.is_some_and(|done| !done.stopped) {
        // The training is complete, and its result is written.
        std::fs::remove_file(&checkpoint).map_err(Error::io(&checkpoint, "remove"))?;
        Identity::remove(&checkpoint)?;
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

/// Refuses a sequence that the model cannot take.
fn check_seq(args: &Args, model: &Model) -> Result<()> {
    let limit = model.config().max_position;
    match args.seq > limit && args.is_timed() {
        true => {
            let (found, expected) = (args.seq.to_string(), format!("1 to {limit}, the positions of the model"));
            Err(Error::Argument { option: "--seq", found, expected })
        }
        false => Ok(()),
    }
}

/// Prunes and refits, by the plan of an earlier run or one of its own; nothing if the zeros are locked.
fn pruned(pruner: &Pruner<'_>, goal: Goal, known: Option<Plan>, log: &mut Log) -> Result<Option<(Plan, Pruned)>> {
    if goal == Goal::Lock {
        return Ok(None);
    }
    say(format_args!("pruning on {} texts", pruner.calibration.len()));
    let layers = pruner.dense.config().layers;
    let plan = match (known, goal) {
        (_, Goal::Lock) => return Ok(None),
        (Some(plan), _) => plan,
        (None, Goal::Sparsity(sparsity, block)) => Plan::uniform(layers, block, sparsity, pruner.may_reorder),
        (None, Goal::Auto(sparsity)) => {
            let (plan, found) = auto::choose(pruner, sparsity, log)?;
            say(plan.text().trim_end());
            return Ok(Some((plan, found)));
        }
        (None, Goal::Time(wanted, shapes)) => target::choose(pruner, wanted, &shapes, log)?,
    };
    if plan.times.is_some() {
        say(plan.text().trim_end());
    }
    let weights = pruner.ordered(&plan.cuts)?;
    let mut options = OneShotOptions::new(lacuna::Block::B4x1, 0.0).with_cuts(&plan.cuts);
    if plan.times.as_ref().is_some_and(|times| times.target_ms.is_some()) {
        options.sensitivity = Some(target::sensitivity(pruner, &weights)?);
    }
    let found = pruner.prune(&weights, &options, log)?;
    Ok(Some((plan, found)))
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
