//! The steps of a run, in order.

use std::path::PathBuf;
use std::time::Instant;

use lacuna::errors::ModelError;
use lacuna::heads::{Head, HeadWeights};
use lacuna::tokens::SentenceTokenizer;
use lacuna::{Compile, Model};
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::interrupt;
use lacuna_console::memory::free_memory;
use lacuna_console::output::{Target, say};
use lacuna_console::progress::Spinner;
use lacuna_console::remarks::warn;
use lacuna_console::table::plural;
use lacuna_jit::cpu::brand;
use lacuna_train::distil::layer_map;
use lacuna_train::ops::Pool;

use super::args::{Args, Goal, Method};
use super::checks::{check_measured, check_seq, check_start, check_teacher, check_zeros, memory_warning};
use super::choose::{Found, pruned};
use super::dev::{Dev, Metric, sequences};
use super::gradual::Gradual;
use super::heads::Heads;
use super::identity::Identity;
use super::log::{Event, Log};
use super::out::Out;
use super::page::page;
use super::plan::Plan;
use super::pruning::Pruner;
use super::reach::check_reach;
use super::structure;
use super::summary::{Figures, Summary};
use super::texts::{Sequence, Source, Texts};
use super::training::Training;
use crate::command::quoted;
use crate::evaluate::gold::{Gold, Labelled};
use crate::evaluate::pairs::Pairs;
use crate::model;
use crate::packed::{needs_weights, open};

/// Everything that the options ask for.
pub(super) fn compress(args: &Args, context: &Context) -> Result<Summary> {
    args.check()?;
    check_start(args)?;
    let out = Out::new(&args.out)?;
    let html = args.html.as_deref().map(|path| Target::new(Some(path))).transpose()?;
    if let Some(path) = args.source.packed_path()? {
        return Err(needs_weights(&open(path)?, "lacuna compress", "give the model's folder"));
    }
    let pairs = args.pairs.as_deref().map(|path| Pairs::read("--pairs", path)).transpose()?;
    let train_pairs = args.train_pairs.as_deref().map(|path| Pairs::read("--train-pairs", path)).transpose()?;
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
    check_seq(args, &dense)?;
    let heads = Heads::of(args, &dense, teacher.as_ref(), labelled.as_ref())?;
    match &heads {
        None => drop(Pool::of(dense.pooling())?), // refused before the work is done
        Some(heads) => {
            labelled.iter_mut().chain(&mut gold).try_for_each(|labelled| labelled.bind(&heads.student))?;
        }
    }
    check_measured(args, heads.as_ref())?;
    let whole = match args.layers {
        Some(layers) => shallower(&dense, layers)?,
        None => dense.clone(),
    };
    let structure = structure::wanted(args, whole.config())?;
    if let Goal::Sparsity(sparsity, block) = args.goal() {
        check_reach(sparsity, block, &whole.weights().layers)?;
    }
    out.check_room(&dense, args.method == Method::Distil, args.train_embeddings)?;
    memory_warning(args, &whole, free_memory()).iter().for_each(warn);
    let texts = {
        let _spinner = Spinner::new("reading texts");
        let gold = gold_texts(args, labelled.as_ref(), train_pairs, pairs.as_ref(), tokenizer)?;
        Texts::read(&args.data, gold, tokenizer)?
    };
    texts.warnings.iter().for_each(warn);
    let dev = match (&pairs, &gold, args.labelled_dev.as_deref()) {
        (Some(pairs), ..) => Some(Dev::pairs(pairs, tokenizer)?),
        (None, Some(gold), Some(path)) => Some(Dev::labelled(path, gold, tokenizer)?),
        _ => None,
    };
    let figure = |stage, model: &Model, head: Option<&HeadWeights>, log: &mut Log| {
        let Some(dev) = &dev else { return Ok::<_, Error>(None) };
        let value = dev.measure(model, head)?;
        log.add(&Event::dev(dev.metric(), stage, 0, value));
        Ok(Some(value))
    };
    interrupt::listen("keeping what was learned")?;

    // A head that has learned nothing has no figures.
    let has_figures = !heads.as_ref().is_some_and(|heads| heads.is_new);
    let mut head = heads.as_ref().map(|heads| heads.student.weights().clone());
    let dense_f32 = match has_figures {
        true => figure("dense", &dense, head.as_ref(), &mut log)?,
        false => None,
    };
    let start = Instant::now();
    let calibration = texts.sample(args.calibration_tokens);
    // The model whose shape the result has.
    let (student, cut) = match structure {
        Some(structure) => {
            let (smaller, cut) = structure::cut(&whole, structure, &calibration, &mut log)?;
            (smaller, Some(cut))
        }
        None => (whole, None),
    };
    let cut_f32 = match cut.is_some() && has_figures {
        true => figure("smaller", &student, head.as_ref(), &mut log)?,
        false => None,
    };
    let checkpoint = checkpoint(args);
    let pruner =
        Pruner { dense: &student, calibration, may_reorder: !args.keep_order, seq: args.seq, seed: args.seed, context };
    let known = if args.resume && checkpoint.exists() { Identity::plan(&checkpoint) } else { None };
    let found = pruned(&pruner, args.goal(), args.start_sparsity, known, &mut log)?;
    let (mut weights, reports, plan, ramp) = match found {
        Some(Found { plan, ramp, pruned }) => (pruned.weights, pruned.matrices, Some(plan), ramp),
        None => (student.weights().clone(), vec![], None, None),
    };
    let mut pruning_seconds = start.elapsed().as_secs_f64();
    let pruned_f32 = match plan.is_some() && has_figures && dev.is_some() {
        true => {
            let pruned = student.clone().with_weights(weights.clone()).map_err(lacuna::Error::from)?;
            figure("pruned", &pruned, head.as_ref(), &mut log)?
        }
        false => None,
    };
    let mut trained = None;
    if args.method == Method::Distil {
        let training = Training {
            args,
            model: &student,
            teacher: teacher.as_ref().unwrap_or(&dense),
            texts: &texts,
            pruner: &pruner,
            plan: plan.as_ref(),
            ramp,
            dev: dev.as_ref(),
            heads: heads.as_ref(),
            checkpoint: &checkpoint,
        };
        let (done, seconds) = training.run(weights, &mut log)?;
        pruning_seconds += seconds;
        weights = done.weights.clone();
        head = done.head.clone();
        trained = Some(done);
    }

    let mut sparse = student.clone().with_weights(weights).map_err(lacuna::Error::from)?;
    if let (Some(heads), Some(head)) = (&heads, &head) {
        let head = heads.student.clone().with_weights(head.clone()).map_err(lacuna::Error::from)?;
        sparse = sparse.with_head(head).map_err(lacuna::Error::from)?;
    }
    let f32 = figure("result", &sparse, head.as_ref(), &mut log)?;
    let done = trained.as_ref();
    let packed = {
        let _spinner = Spinner::new("calibrating and packing");
        let mut calibration = sparse.clone().calibration();
        // A rounded training has chosen the ranges, and its weights fit them. A folder cannot hold them, so its figure is without them.
        match done.and_then(|done| done.rounding.as_ref()) {
            Some(rounding) if args.is_packed() => calibration = calibration.quantisation(rounding.layers().to_vec()),
            Some(_) => say("a folder does not keep the ranges of the rounded training; --out FILE.lacuna does"),
            None => {}
        }
        let calibrated = calibration.run_default()?;
        calibrated.compiler().tier(context.tier).small_tables(args.small_tables).pack()?
    };
    let trained_head = match &heads {
        Some(_) => Some(sparse.head().map_err(lacuna::Error::from)?),
        None => None,
    };
    let int8 = dev.as_ref().map(|dev| dev.as_it_runs(&packed, trained_head.as_ref(), context)).transpose()?;
    let figures = f32.zip(int8).map(|(f32, int8)| Figures { dense_f32, cut_f32, pruned_f32, f32, int8 });
    let metric = dev.as_ref().map(Dev::metric);
    let of = |wanted: Metric| figures.clone().filter(|_| metric == Some(wanted));
    let (matrices, zeros) = Summary::matrices(sparse.weights(), &reports);
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
            (_, Method::Distil) if args.new_head && plan.is_none() && cut.is_none() => "training on labels",
            (_, Method::Distil) => "distil",
        },
        block: plan.as_ref().map(Plan::shapes),
        plan: plan.clone(),
        gradual: ramp.zip(done).map(|(ramp, done)| Gradual::of(&ramp, &done.prunings)),
        cut,
        measured_ms,
        layers: Some(sparse.config().layers).filter(|&layers| layers < dense.config().layers),
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
        embeddings: args.train_embeddings,
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
    if done.is_some_and(|done| !done.stopped) {
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

/// The texts with labels and the pairs with scores, and what they are. Pairs that are measured on are left out.
fn gold_texts(
    args: &Args,
    labelled: Option<&Labelled>,
    pairs: Option<Pairs>,
    measured: Option<&Pairs>,
    tokenizer: &SentenceTokenizer,
) -> Result<Vec<(String, Source)>> {
    let mut found = Vec::new();
    if let (Some(path), Some(gold)) = (&args.labelled, labelled) {
        let labels = gold.labels().to_vec();
        let source = Source { sequences: sequences(gold, tokenizer)?, labels, ..Source::default() };
        found.push((format!("{} (with labels)", path.display()), source));
    }
    if let (Some(path), Some(mut pairs)) = (&args.train_pairs, pairs) {
        let dropped = measured.map_or(0, |measured| pairs.remove(measured));
        if pairs.scores.len() < 2 {
            return Err(Error::Argument {
                option: "--train-pairs",
                found: format!(
                    "{} in {} that --pairs does not have",
                    plural(pairs.scores.len(), "pair"),
                    path.display()
                ),
                expected: "at least 2".into(),
            });
        }
        if dropped > 0 {
            say(format_args!("--train-pairs: {} left out, which --pairs has too", plural(dropped, "pair")));
        }
        found.push((format!("{} (pairs with scores)", path.display()), scored(&pairs, tokenizer)?));
    }
    Ok(found)
}

/// Pairs as token ids.
fn scored(pairs: &Pairs, tokenizer: &SentenceTokenizer) -> Result<Source> {
    let encoded = tokenizer.encode_batch(&pairs.sentences)?;
    let sequences = encoded.into_iter().map(|encoded| Sequence { ids: encoded.ids, types: None }).collect();
    let scores = pairs.scores.iter().map(|&score| score as f32).collect();
    Ok(Source { sequences, scores, ..Source::default() })
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

/// Where the state of the training lies.
fn checkpoint(args: &Args) -> PathBuf {
    let mut name = args.out.clone().into_os_string();
    name.push(".checkpoint");
    name.into()
}

/// The command, as it is given again.
fn command() -> String {
    let words: Vec<String> = std::env::args().skip(1).map(|word| quoted(&word)).collect();
    format!("lacuna {}", words.join(" "))
}
