//! The steps of a run, in order.

use std::path::{Path, PathBuf};
use std::time::Instant;

use lacuna::errors::ModelError;
use lacuna::heads::{Head, HeadWeights};
use lacuna::tokens::SentenceTokenizer;
use lacuna::{Compile, Model, PackedModel, Tier};
use lacuna_data::gold::{Gold, Labelled};
use lacuna_data::pairs::Pairs;
use lacuna_data::words::plural;
use lacuna_jit::cpu::brand;
use lacuna_train::distil::layer_map;
use lacuna_train::ops::Pool;

use crate::checks::{check_measured, check_seq, check_start, check_teacher, check_zeros, memory_warning};
use crate::choose::{Found, pruned};
use crate::dev::{Dev, Metric, sequences};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::gradual::Gradual;
use crate::heads::Heads;
use crate::identity::Identity;
use crate::memory::free_memory;
use crate::observer::{Observer, Stage, during, during_with};
use crate::options::{Goal, Method, Options};
use crate::out::Out;
use crate::plan::Plan;
use crate::pruning::Pruner;
use crate::reach::check_reach;
use crate::stop::Stop;
use crate::structure;
use crate::summary::{Figures, Summary};
use crate::texts::{Sequence, Source, Texts};
use crate::threads::{cores, pool};
use crate::training::Training;

/// Does everything that the options ask for.
///
/// Work runs on threads of its own. The observer is called on one of them at a time.
///
/// # Errors
/// What [`Options::check`] and the files refuse, before any work is done; those of the work; [`Error::Stopped`].
pub fn compress(options: &Options, observer: &mut (dyn Observer + Send), stop: Stop<'_>) -> Result<Summary> {
    prepare(options)?.run(&options.model, observer, stop)
}

/// Refuses what can be refused before the model is there, and reads the files of gold answers.
///
/// # Errors
/// Those of [`Options::check`] and of the files.
pub fn prepare(options: &Options) -> Result<Prepared<'_>> {
    options.check()?;
    check_start(options)?;
    let tier = Tier::select(options.tier)?;
    let out = Out::new(&options.out)?;
    let pairs = |option, path: &Option<PathBuf>| path.as_deref().map(|path| Pairs::read(option, path)).transpose();
    let labelled = |path: &Option<PathBuf>| path.as_deref().map(Labelled::read).transpose();
    Ok(Prepared {
        options,
        tier,
        out,
        pairs: pairs("`pairs`", &options.pairs)?,
        train_pairs: pairs("`train_pairs`", &options.train_pairs)?,
        labelled: labelled(&options.labelled)?,
        gold: labelled(&options.labelled_dev)?,
    })
}

/// A run whose options and files of gold answers are checked.
pub struct Prepared<'a> {
    options: &'a Options,
    tier: Tier,
    out: Out,
    pairs: Option<Pairs>,
    train_pairs: Option<Pairs>,
    labelled: Option<Labelled>,
    gold: Option<Labelled>,
}

impl Prepared<'_> {
    /// Does the work on the model of a folder.
    ///
    /// # Errors
    /// Those of [`compress`].
    pub fn run(self, model: &Path, observer: &mut (dyn Observer + Send), stop: Stop<'_>) -> Result<Summary> {
        pool(self.options.threads.unwrap_or_else(cores))?.install(|| run(self, model, observer, stop))
    }
}

fn run(prepared: Prepared<'_>, model: &Path, observer: &mut dyn Observer, stop: Stop<'_>) -> Result<Summary> {
    let Prepared { options, tier, out, pairs, train_pairs, mut labelled, mut gold } = prepared;
    let dense = read(model, observer)?;
    let tokenizer = dense.tokenizer().ok_or(ModelError::NoTokenizer)?;
    let teacher = options.teacher.as_deref().map(|path| read(path, observer)).transpose()?;
    if let Some(teacher) = &teacher {
        check_teacher(options, &dense, teacher)?;
    }
    check_zeros(options, &dense)?;
    check_seq(options, &dense)?;
    let heads = Heads::of(options, &dense, teacher.as_ref(), labelled.as_ref(), observer)?;
    match &heads {
        None => drop(Pool::of(dense.pooling())?), // refused before the work is done
        Some(heads) => {
            labelled.iter_mut().chain(&mut gold).try_for_each(|labelled| labelled.bind(&heads.student))?;
        }
    }
    check_measured(options, heads.as_ref())?;
    let whole = match options.layers {
        Some(layers) => shallower(&dense, layers)?,
        None => dense.clone(),
    };
    let structure = structure::wanted(options, whole.config())?;
    if let Goal::Sparsity(sparsity, block) = options.goal() {
        check_reach(sparsity, block, &whole.weights().layers)?;
    }
    out.check_room(&dense, options.method == Method::Distil, options.train_embeddings)?;
    memory_warning(options, &whole, free_memory()).iter().for_each(|text| observer.warning(text));
    let texts = during_with(observer, &Stage::Texts, |observer| {
        let gold = gold_texts(options, labelled.as_ref(), train_pairs, pairs.as_ref(), tokenizer, observer)?;
        Texts::read(&options.data, gold, tokenizer)
    })?;
    texts.warnings.iter().for_each(|text| observer.warning(text));
    let dev = match (&pairs, &gold, options.labelled_dev.as_deref()) {
        (Some(pairs), ..) => Some(Dev::pairs(pairs, tokenizer)?),
        (None, Some(gold), Some(path)) => Some(Dev::labelled(path, gold, tokenizer)?),
        _ => None,
    };
    let figure = |stage, model: &Model, head: Option<&HeadWeights>, observer: &mut dyn Observer| {
        stop.check()?;
        let Some(dev) = &dev else { return Ok::<_, Error>(None) };
        let value = dev.measure(model, head)?;
        observer.event(&Event::dev(dev.metric(), stage, 0, value));
        Ok(Some(value))
    };

    // A head that has learned nothing has no figures.
    let has_figures = !heads.as_ref().is_some_and(|heads| heads.is_new);
    let mut head = heads.as_ref().map(|heads| heads.student.weights().clone());
    let dense_f32 = match has_figures {
        true => figure("dense", &dense, head.as_ref(), observer)?,
        false => None,
    };
    let start = Instant::now();
    let calibration = texts.sample(options.calibration_tokens);
    // The model whose shape the result has.
    let (student, cut) = match structure {
        Some(structure) => {
            let (smaller, cut) = during_with(observer, &Stage::Cut, |observer| {
                structure::cut(&whole, structure, &calibration, stop, observer)
            })?;
            (smaller, Some(cut))
        }
        None => (whole, None),
    };
    let cut_f32 = match cut.is_some() && has_figures {
        true => figure("smaller", &student, head.as_ref(), observer)?,
        false => None,
    };
    let checkpoint = checkpoint(options);
    let pruner = Pruner {
        dense: &student,
        calibration,
        may_reorder: !options.keep_order,
        seq: options.seq,
        seed: options.seed,
        measuring_threads: options.threads.unwrap_or(1),
        tier,
        stop,
    };
    let known = if options.resume && checkpoint.exists() { Identity::plan(&checkpoint) } else { None };
    stop.check()?;
    let found = match options.goal() {
        Goal::Keep => None,
        goal => during_with(observer, &Stage::Prune, |observer| {
            pruned(&pruner, goal, options.start_sparsity, known, observer)
        })?,
    };
    let (mut weights, reports, plan, ramp) = match found {
        Some(Found { plan, ramp, pruned }) => (pruned.weights, pruned.matrices, Some(plan), ramp),
        None => (student.weights().clone(), vec![], None, None),
    };
    let mut pruning_seconds = start.elapsed().as_secs_f64();
    let pruned_f32 = match plan.is_some() && has_figures && dev.is_some() {
        true => {
            let pruned = student.clone().with_weights(weights.clone())?;
            figure("pruned", &pruned, head.as_ref(), observer)?
        }
        false => None,
    };
    let mut trained = None;
    if options.method == Method::Distil {
        let training = Training {
            options,
            model: &student,
            teacher: teacher.as_ref().unwrap_or(&dense),
            texts: &texts,
            pruner: &pruner,
            plan: plan.as_ref(),
            ramp,
            dev: dev.as_ref(),
            heads: heads.as_ref(),
            checkpoint: &checkpoint,
            stop,
        };
        stop.check()?;
        let (done, seconds) = during_with(observer, &Stage::Train, |observer| training.run(weights, observer))?;
        stop.check()?;
        pruning_seconds += seconds;
        weights = done.weights.clone();
        head = done.head.clone();
        trained = Some(done);
    }

    let mut sparse = student.clone().with_weights(weights)?;
    if let (Some(heads), Some(head)) = (&heads, &head) {
        let head = heads.student.clone().with_weights(head.clone())?;
        sparse = sparse.with_head(head)?;
    }
    let f32 = figure("result", &sparse, head.as_ref(), observer)?;
    let done = trained.as_ref();
    stop.check()?;
    let rounding = done.and_then(|done| done.rounding.as_ref());
    if rounding.is_some() && !options.is_packed() {
        observer.remark("a folder does not keep the ranges of the rounded training; `out` FILE.lacuna does");
    }
    let packed = during(observer, &Stage::Pack, || {
        let mut calibration = sparse.clone().calibration();
        // A rounded training has chosen the ranges, and its weights fit them. A folder cannot hold them, so its figure is without them.
        if let Some(rounding) = rounding.filter(|_| options.is_packed()) {
            calibration = calibration.quantisation(rounding.layers().to_vec());
        }
        let calibrated = calibration.run_default()?;
        calibrated.compiler().tier(tier).small_tables(options.small_tables).pack()
    })?;
    let trained_head = match &heads {
        Some(_) => Some(sparse.head()?),
        None => None,
    };
    let as_it_runs = |dev: &Dev<'_>| dev.as_it_runs(&packed, trained_head.as_ref(), tier);
    let int8 = dev.as_ref().map(|dev| during(observer, &Stage::Run, || as_it_runs(dev))).transpose()?;
    let figures = f32.zip(int8).map(|(f32, int8)| Figures { dense_f32, cut_f32, pruned_f32, f32, int8 });
    let metric = dev.as_ref().map(Dev::metric);
    let of = |wanted: Metric| figures.clone().filter(|_| metric == Some(wanted));
    let (matrices, zeros) = Summary::matrices(sparse.weights(), &reports);
    let measured_ms = match plan.as_ref().and_then(|plan| plan.times.as_ref()) {
        Some(_) => Some(pruner.seconds_of(&packed.compiler().tier(tier).compile()?, observer)? * 1e3),
        None => None,
    };
    let summary = Summary {
        model: options.name.clone(),
        teacher: options.teacher.as_ref().map(|path| path.display().to_string()),
        out: options.out.display().to_string(),
        method: match (options.lock, options.method) {
            (true, _) => "pattern lock",
            (_, Method::OneShot) => "one-shot",
            (_, Method::Distil) if options.new_head && plan.is_none() && cut.is_none() => "training on labels",
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
        embeddings: options.train_embeddings,
        rounded: done.is_some_and(|done| done.rounding.is_some()),
        interrupted: done.is_some_and(|done| done.stopped),
        seed: options.seed,
        threads: rayon::current_num_threads(),
        cpu: brand(),
        command: options.command.clone(),
    };
    stop.check()?;
    during(observer, &Stage::Write, || out.write(&sparse, &packed, &summary))?;
    if done.is_some_and(|done| !done.stopped) {
        // The training is complete, and its result is written.
        std::fs::remove_file(&checkpoint).map_err(Error::io(&checkpoint, "remove"))?;
        Identity::remove(&checkpoint)?;
    }
    Ok(summary)
}

/// The texts with labels and the pairs with scores, and what they are. Pairs that are measured on are left out.
fn gold_texts(
    options: &Options,
    labelled: Option<&Labelled>,
    pairs: Option<Pairs>,
    measured: Option<&Pairs>,
    tokenizer: &SentenceTokenizer,
    observer: &mut dyn Observer,
) -> Result<Vec<(String, Source)>> {
    let mut found = Vec::new();
    if let (Some(path), Some(gold)) = (&options.labelled, labelled) {
        let labels = gold.labels().to_vec();
        let source = Source { sequences: sequences(gold, tokenizer)?, labels, ..Source::default() };
        found.push((format!("{} (with labels)", path.display()), source));
    }
    if let (Some(path), Some(mut pairs)) = (&options.train_pairs, pairs) {
        let dropped = measured.map_or(0, |measured| pairs.remove(measured));
        if pairs.scores.len() < 2 {
            return Err(Error::Argument {
                option: "`train_pairs`",
                found: format!(
                    "{} in {} that `pairs` does not have",
                    plural(pairs.scores.len(), "pair"),
                    path.display()
                ),
                expected: "at least 2".into(),
            });
        }
        if dropped > 0 {
            observer.remark(&format!("`train_pairs`: {} left out, which `pairs` has too", plural(dropped, "pair")));
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
            option: "`layers`",
            found: layers.to_string(),
            expected: format!("at most {all}, as the model has"),
        });
    }
    Ok(model.clone().with_layers(&layer_map(layers, all)?)?)
}

/// Where the state of the training lies.
fn checkpoint(options: &Options) -> PathBuf {
    let mut name = options.out.clone().into_os_string();
    name.push(".checkpoint");
    name.into()
}

/// Reads a model. Packed files do not have the weights.
fn read(path: &Path, observer: &mut dyn Observer) -> Result<Model> {
    if PackedModel::is_packed(path).unwrap_or(false) {
        return Err(PackedModel::open(path)?.needs_weights("compress", "give the model's folder").into());
    }
    Ok(during(observer, &Stage::Model(path.to_owned()), || Model::open(path))?)
}
