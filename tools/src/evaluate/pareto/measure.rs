//! Accuracy and time of every model.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lacuna::hub::model_folder;
use lacuna::tasks::{ClassifyRecord, Record, Task, TaskModel};
use lacuna::tokens::seeded_ids;
use lacuna::{Encoder, Form, PackedModel};
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::output::{Target, say};
use lacuna_console::progress::Spinner;
use lacuna_console::timing::{Samples, Timed};

use super::super::args::Args;
use super::page::page;
use super::points::{Pareto, Point, first, mark_front};
use crate::model;
use crate::packed::{Opened, open};
use crate::task::{Isolated, run_isolated};
use lacuna_data::gold::{Gold, Labelled, Questions, RankedQueries, Score, Tagged};
use lacuna_data::pairs::Pairs;

/// Rounds, one sample of every model in each.
const ROUNDS: usize = 101;
/// No new round after this, once there are a few.
const TIME: Duration = Duration::from_secs(10);
const LEAST_ROUNDS: usize = 5;

/// Everything that `--beside` and `--pareto` ask for.
pub(crate) fn pareto(args: &Args, context: &Context) -> Result<Pareto> {
    let unused = [("--sparsity", !args.sparsity.is_empty()), ("--schemes", args.schemes)];
    if let Some((option, _)) = unused.into_iter().find(|(_, given)| *given) {
        let (found, expected) = ("--beside or --pareto".into(), "one of them: these compare whole models as they are");
        return Err(Error::Argument { option, found, expected: expected.into() });
    }
    let target = args.pareto.as_deref().map(|path| Target::new(Some(path))).transpose()?;
    let found = if let Some(path) = &args.pairs {
        let pairs = Pairs::read("--pairs", path)?;
        let score = |opened: &Opened, encoder: Arc<Encoder>| of_pairs(&pairs, opened, &encoder);
        measure::<ClassifyRecord>(args, path, pairs.scores.len(), context, &score)?
    } else if let Some(path) = &args.labelled {
        of_task::<Labelled>(args, path, context)?
    } else if let Some(path) = &args.tagged {
        of_task::<Tagged>(args, path, context)?
    } else if let Some(path) = &args.questions {
        of_task::<Questions>(args, path, context)?
    } else {
        // clap guarantees that there is one of the files.
        of_task::<RankedQueries>(args, &args.ranked.clone().unwrap_or_default(), context)?
    };
    if let Some(target) = target {
        target.write(|out| out.write_all(page(&found).as_bytes()))?;
    }
    Ok(found)
}

/// The rank correlation of the model as it runs.
fn of_pairs(pairs: &Pairs, _: &Opened, encoder: &Encoder) -> Result<Vec<Score>> {
    Ok(vec![("spearman", pairs.spearman(&encoder.embed(&pairs.sentences)?.vectors))])
}

fn of_task<G: Gold>(args: &Args, path: &Path, context: &Context) -> Result<Pareto> {
    let records = G::read(path)?.records().len();
    let score = |opened: &Opened, encoder: Arc<Encoder>| -> Result<Vec<Score>> {
        let (mut gold, head) = (G::read(path)?, Arc::new(opened.head()?)); // labels are those of the head
        let task = gold.task();
        if let Some(kind) = task.head_kind() {
            head.require(kind)?;
        }
        gold.bind(&head)?;
        let model = TaskModel::new(encoder).with_head(head);
        let Isolated { rows, .. } = run_isolated(&task, &model, gold.records(), true)?;
        let failed = |(record, reason)| Error::Line { path: path.to_owned(), line: gold.line(record), reason };
        let rows = rows.into_iter().enumerate().map(|(record, row)| row.map_err(|reason| failed((record, reason))));
        Ok(gold.scores(&rows.collect::<Result<Vec<_>>>()?))
    };
    measure::<<G::Task as Task>::Record>(args, path, records, context, &score)
}

/// How well a model does.
type Scorer<'a> = &'a dyn Fn(&Opened, Arc<Encoder>) -> Result<Vec<Score>>;

/// Every model: compiled, scored, and timed in turn with the others.
fn measure<R: Record>(
    args: &Args,
    gold: &Path,
    records: usize,
    context: &Context,
    score: Scorer<'_>,
) -> Result<Pareto> {
    let texts = args.calibration.texts::<R>()?;
    let mut metric = "score";
    let (mut encoders, mut points) = (vec![], vec![]);
    for (name, opened) in models(args)? {
        let opened = opened.open()?;
        let encoder = match &opened {
            Opened::Directory(read) => {
                let calibrated = args.calibration.run(read.as_ref().clone(), texts.as_ref(), context.tier)?;
                model::compile(&calibrated, Form::Auto, context)?
            }
            Opened::Packed(packed) => {
                args.calibration.check_packed(packed)?;
                packed.compiler().tier(context.tier).compile()?
            }
        };
        let limit = encoder.config().max_position;
        if args.seq > limit {
            let (found, expected) = (args.seq.to_string(), format!("1 to {limit}, the positions of {name}"));
            return Err(Error::Argument { option: "--seq", found, expected });
        }
        let encoder = Arc::new(encoder);
        let (of_metric, value) = {
            let _spinner = Spinner::new(format!("running {name}"));
            first(&score(&opened, Arc::clone(&encoder))?)
        };
        say(format_args!("{name}: {} {value:.4}", super::points::heading(of_metric)));
        metric = of_metric;
        let (weights, kept) = weights(&encoder);
        let zeros = 1.0 - kept / (weights as f64).max(1.0);
        points.push(Point {
            model: name,
            score: value,
            milliseconds: 0.0,
            speed: 1.0,
            weights,
            zeros,
            on_front: false,
        });
        encoders.push(encoder);
    }
    let samples = time(&encoders, args.seq)?;
    for (point, of_model) in points.iter_mut().zip(&samples) {
        point.milliseconds = of_model.median() * 1e3;
        point.speed = samples.first().map_or(1.0, |first| first.ratio_to(of_model));
    }
    mark_front(&mut points);
    Ok(Pareto {
        gold: gold.file_name().map_or_else(|| gold.display().to_string(), |name| name.to_string_lossy().into_owned()),
        records,
        metric,
        seq: args.seq,
        threads: context.threads(),
        tier: context.tier.name(),
        cpu: lacuna_jit::cpu::brand(),
        points,
    })
}

/// A model that is opened when it is its turn.
enum Place {
    Folder(PathBuf),
    Packed(PathBuf),
}

impl Place {
    fn open(self) -> Result<Opened> {
        Ok(match self {
            Place::Folder(folder) => Opened::Directory(model::read(&folder)?.into()),
            Place::Packed(file) => Opened::Packed(open(file)?.into()),
        })
    }
}

/// The first model and those beside it, with their names; a path that leads to none is refused before anything is measured.
fn models(args: &Args) -> Result<Vec<(String, Place)>> {
    let first = match args.source.packed_path()? {
        Some(file) => Place::Packed(file),
        None => Place::Folder(args.source.folder()?.unwrap_or_default()), // clap guarantees that there is one
    };
    let mut all = vec![(args.source.name(), first)];
    for path in &args.beside {
        let place = match PackedModel::is_packed(path)? {
            true => Place::Packed(path.clone()),
            false => Place::Folder(model_folder(path)?),
        };
        all.push((path.display().to_string(), place));
    }
    Ok(all)
}

/// The weights of the linear layers, and how many of them are not zero.
fn weights(encoder: &Encoder) -> (usize, f64) {
    let of = |(weights, kept): (usize, f64), linear: &lacuna::report::LinearReport| {
        let count = linear.m * linear.k;
        (weights + count, kept + count as f64 * linear.density * linear.fill_ratio)
    };
    encoder.report().linears.iter().fold((0, 0.0), of)
}

/// Times all encoders in turn, one sequence each.
fn time(encoders: &[Arc<Encoder>], seq: usize) -> Result<Vec<Samples>> {
    let _spinner = Spinner::new("timing");
    let call = |encoder: &Arc<Encoder>| {
        let (encoder, ids) = (Arc::clone(encoder), seeded_ids(encoder.config().vocab_size, 1, seq, 1));
        move || -> Result<()> {
            std::hint::black_box(encoder.embed_ids(&ids).map_err(Error::from)?);
            Ok(())
        }
    };
    let mut calls: Vec<_> = encoders.iter().map(call).collect();
    let warm_up = Duration::from_millis(20);
    let mut timed = calls.iter_mut().map(|call| Timed::new(call, warm_up)).collect::<Result<Vec<_>>>()?;
    let start = Instant::now();
    for round in 0..ROUNDS {
        if round >= LEAST_ROUNDS && start.elapsed() > TIME {
            break;
        }
        timed.iter_mut().try_for_each(Timed::sample)?;
    }
    Ok(timed.into_iter().map(Timed::into_samples).collect())
}
