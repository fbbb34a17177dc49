//! The steps of a run, in order.

use std::path::PathBuf;
use std::time::Instant;

use lacuna::errors::ModelError;
use lacuna::heads::{Head, HeadWeights};
use lacuna::tokens::SentenceTokenizer;
use lacuna::weights::EncoderWeights;
use lacuna::{Compile, Model};
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::interrupt;
use lacuna_console::output::{Target, say};
use lacuna_console::progress::Spinner;
use lacuna_console::remarks::warn;
use lacuna_jit::cpu::brand;
use lacuna_train::distil::layer_map;
use lacuna_train::mask::{Mask, masks_of};
use lacuna_train::ops::Pool;
use lacuna_train::prune::{MatrixReport, OneShotOptions, Progress, one_shot};

use super::args::{Args, Method};
use super::dev::{Dev, Metric, sequences};
use super::heads::Heads;
use super::identity::Identity;
use super::log::{Event, Log};
use super::out::Out;
use super::page::page;
use super::summary::{Figures, Summary};
use super::texts::{Source, Texts};
use super::training::Training;
use crate::command::quoted;
use crate::evaluate::gold::{Gold, Labelled};
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
    let mut labelled = args.labelled.as_deref().map(Labelled::read).transpose()?;
    let mut gold = args.labelled_dev.as_deref().map(Labelled::read).transpose()?;
    let mut log = Log::new(args.log.as_deref(), args.resume)?;
    let dense = model::read(&args.source.folder()?.unwrap_or_default())?; // clap guarantees that there is one
    let tokenizer = dense.tokenizer().ok_or(ModelError::NoTokenizer).map_err(lacuna::Error::from)?;
    let teacher = args.teacher.as_deref().map(model::read).transpose()?;
    if let Some(teacher) = &teacher {
        check_teacher(args, &dense, teacher)?;
    }
    check_zeros(args, &dense)?;
    let heads = Heads::of(args, &dense, teacher.as_ref(), labelled.as_ref())?;
    match &heads {
        None => drop(Pool::of(dense.pooling())?), // refused before the work is done
        Some(heads) => {
            labelled.iter_mut().chain(&mut gold).try_for_each(|labelled| labelled.bind(&heads.student))?;
        }
    }
    check_measured(args, heads.as_ref())?;
    let start_of_student = match args.layers {
        Some(layers) => shallower(&dense, layers)?,
        None => dense.clone(),
    };
    out.check_room(&dense, args.method == Method::Distil)?;
    let texts = {
        let _spinner = Spinner::new("reading texts");
        let source = |gold: &Labelled| -> Result<Source> {
            Ok(Source { sequences: sequences(gold, tokenizer)?, labels: gold.labels().to_vec() })
        };
        let labelled = args.labelled.as_deref().zip(labelled.as_ref().map(source).transpose()?);
        Texts::read(&args.data, labelled, tokenizer)?
    };
    texts.warnings.iter().for_each(warn);
    let dev = match (&pairs, &gold, args.labelled_dev.as_deref()) {
        (Some(pairs), ..) => Some(Dev::pairs(pairs, tokenizer)?),
        (None, Some(gold), Some(path)) => Some(Dev::labelled(path, gold, tokenizer)?),
        _ => None,
    };
    let figure = |stage, model: &Model, weights: &EncoderWeights, head: Option<&HeadWeights>, log: &mut Log| {
        let Some(dev) = &dev else { return Ok::<_, Error>(None) };
        let value = dev.measure(model, weights, head)?;
        log.add(&Event::dev(dev.metric(), stage, 0, value));
        Ok(Some(value))
    };
    interrupt::listen("keeping what was learned")?;

    // A head that has learned nothing has no figures.
    let has_figures = !heads.as_ref().is_some_and(|heads| heads.is_new);
    let mut head = heads.as_ref().map(|heads| heads.student.weights().clone());
    let dense_f32 = match has_figures {
        true => figure("dense", &dense, dense.weights(), head.as_ref(), &mut log)?,
        false => None,
    };
    let dense_layers = dense.config().layers;
    let student = start_of_student;
    let start = Instant::now();
    let (mut weights, reports) = match args.sparsity {
        Some(sparsity) => pruned(args, &student, &texts, sparsity, &mut log)?,
        None => (student.weights().clone(), vec![]),
    };
    let pruning_seconds = start.elapsed().as_secs_f64();
    let pruned_f32 = match args.sparsity.is_some() && has_figures {
        true => figure("pruned", &student, &weights, head.as_ref(), &mut log)?,
        false => None,
    };
    let mut trained = None;
    if args.method == Method::Distil {
        let mut name = args.out.clone().into_os_string();
        name.push(".checkpoint");
        let teacher = teacher.as_ref().unwrap_or(&dense);
        let checkpoint = PathBuf::from(name);
        let training = Training {
            args,
            model: &student,
            teacher,
            texts: &texts,
            dev: dev.as_ref(),
            heads: heads.as_ref(),
            checkpoint: &checkpoint,
        };
        let done = training.run(&weights, &mut log)?;
        weights = done.weights.clone();
        head = done.head.clone();
        trained = Some((done, checkpoint));
    }

    let mut sparse = student.with_weights(weights).map_err(lacuna::Error::from)?;
    if let (Some(heads), Some(head)) = (&heads, &head) {
        let head = heads.student.clone().with_weights(head.clone()).map_err(lacuna::Error::from)?;
        sparse = sparse.with_head(head).map_err(lacuna::Error::from)?;
    }
    let f32 = figure("result", &sparse, sparse.weights(), head.as_ref(), &mut log)?;
    let packed = {
        let _spinner = Spinner::new("calibrating and packing");
        let mut calibration = sparse.clone().calibration();
        // A rounded training has chosen the ranges, and its weights fit them.
        let rounding = trained.as_ref().and_then(|(done, _)| done.rounding.as_ref());
        if let Some(rounding) = rounding {
            calibration = calibration.quantisation(rounding.layers().to_vec());
        }
        let calibrated = calibration.run_default()?;
        calibrated.compiler().tier(context.tier).small_tables(args.small_tables).pack()?
    };
    let trained_head = match &heads {
        Some(_) => Some(sparse.head().map_err(lacuna::Error::from)?),
        None => None,
    };
    let int8 = dev.as_ref().map(|dev| dev.as_it_runs(&packed, trained_head.as_ref(), context)).transpose()?;
    let figures = f32.zip(int8).map(|(f32, int8)| Figures { dense_f32, pruned_f32, f32, int8 });
    let metric = dev.as_ref().map(Dev::metric);
    let of = |wanted: Metric| figures.clone().filter(|_| metric == Some(wanted));
    let (matrices, zeros) = Summary::matrices(sparse.weights(), &reports);
    let done = trained.as_ref().map(|(done, _)| done);
    let summary = Summary {
        model: args.source.name(),
        teacher: args.teacher.as_ref().map(|path| path.display().to_string()),
        out: args.out.display().to_string(),
        method: match (args.lock, args.method) {
            (true, _) => "pattern lock",
            (_, Method::OneShot) => "one-shot",
            (_, Method::Distil) if args.new_head && args.sparsity.is_none() => "training on labels",
            (_, Method::Distil) => "distil",
        },
        block: args.sparsity.map(|_| args.block.to_string()),
        layers: Some(sparse.config().layers).filter(|&layers| layers < dense_layers),
        zeros,
        matrices,
        texts: texts.used.clone(),
        head: trained_head.as_ref().map(Head::kind),
        labels: trained_head.as_ref().map_or_else(Vec::new, |head| head.labels().to_vec()),
        pairs: dev.as_ref().filter(|_| metric == Some(Metric::Spearman)).map(Dev::count),
        labelled_dev: dev.as_ref().filter(|_| metric == Some(Metric::Accuracy)).map(Dev::count),
        metric,
        spearman: of(Metric::Spearman),
        accuracy: of(Metric::Accuracy),
        steps: done.map_or(0, |done| done.steps),
        tokens: done.map_or(0, |done| done.tokens),
        pruning_seconds,
        training_seconds: done.map_or(0.0, |done| done.seconds),
        rounded: done.is_some_and(|done| done.rounding.is_some()),
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

/// The model with some of its layers, taken evenly.
fn shallower(model: &Model, layers: usize) -> Result<Model> {
    let all = model.config().layers;
    if layers > all {
        return Err(Error::Argument {
            option: "--layers",
            found: layers.to_string(),
            expected: format!("at most {all}, as the model has"),
        });
    }
    Ok(model.clone().with_layers(&layer_map(layers, all)?).map_err(lacuna::Error::from)?)
}

/// Refuses figures that the model cannot have.
fn check_measured(args: &Args, heads: Option<&Heads>) -> Result<()> {
    let wrong = |option, found: &str, expected: &str| {
        Err(Error::Argument { option, found: found.into(), expected: expected.into() })
    };
    match heads {
        Some(_) if args.pairs.is_some() => {
            wrong("--pairs", "a model with a head, which gives no embeddings", "--labelled-dev, for a classification")
        }
        None if args.labelled_dev.is_some() => {
            wrong("--labelled-dev", "a model without a head for labels", "--pairs, for a model that embeds")
        }
        _ => Ok(()),
    }
}

/// Refuses a teacher whose tokens or states are others than those of the student.
fn check_teacher(args: &Args, student: &Model, teacher: &Model) -> Result<()> {
    let refuse = |found: String, expected: String| Err(Error::Argument { option: "--teacher", found, expected });
    let (own, other) = (student.config().hidden_size, teacher.config().hidden_size);
    if own != other {
        return refuse(format!("hidden size {other}"), format!("{own}, as the model has"));
    }
    let (own, other) = (args.layers.unwrap_or(student.config().layers), teacher.config().layers);
    if own > other {
        return refuse(format!("{other} layers"), format!("at least {own}, as the result has"));
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

/// The command, as it is given again.
fn command() -> String {
    let words: Vec<String> = std::env::args().skip(1).map(|word| quoted(&word)).collect();
    format!("lacuna {}", words.join(" "))
}
