//! Tasks with a head, on f32, as compiled, and as packed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lacuna::heads::Head;
use lacuna::tasks::{Backbone, Record, Task, TaskModel};
use lacuna::{Form, Model};
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::output::say;
use lacuna_console::progress::Spinner;
use lacuna_console::zeros::Pruned;

use super::args::Args;
use super::measured::Measured;
use super::task_report::TaskEvaluation;
use super::timing::{self, Call};
use crate::calibration::CalibrationSummary;
use crate::model;
use crate::packed::{Opened, needs_weights, open};
use crate::task::{Isolated, of_head, run_isolated};
use lacuna_data::gold::Gold;

/// Records with gold answers, bound to the labels of a model, and what is needed to measure it on them.
struct Bench<'a, G> {
    gold: &'a G,
    head: Arc<Head>,
    path: &'a Path,
    /// The model, in the report.
    model: String,
}

/// A report, and what is still to be timed: a model for each of its results.
struct Running {
    evaluation: TaskEvaluation,
    timed: Vec<TaskModel>,
}

/// Everything that the options ask for.
pub(super) fn evaluate<G: Gold>(args: &Args, path: &Path, context: &Context) -> Result<TaskEvaluation> {
    // Not in clap's words: it does not ask for what conflicts with an option that is given.
    if args.schemes {
        let expected = "--pairs FILE.csv with it: schemes are compared on pairs".into();
        return Err(Error::Argument { option: "--schemes", found: "no --pairs".into(), expected });
    }
    let mut gold = G::read(path)?;
    let task = gold.task();
    let sequences = gold.records().iter().map(|record| record.inputs().len()).sum();
    let mut running: Option<Running> = None;
    for (name, opened) in models(args)? {
        let opened = opened()?;
        let head = Arc::new(opened.head()?);
        if let Some(kind) = task.head_kind() {
            head.require(kind)?;
        }
        gold.bind(&head)?;
        // Scores of a ranking are logits here.
        let remarks = of_head(&opened, &head, task.name() == "rank", true);
        let running = running.get_or_insert_with(|| Running {
            evaluation: TaskEvaluation {
                model: name.clone(),
                task: task.name(),
                head: head.class().to_owned(),
                records: gold.records().len(),
                noun: G::NOUN,
                sequences,
                truncated: 0,
                tier: context.tier.name(),
                calibration: None,
                results: Vec::new(),
                remarks: Vec::new(),
            },
            timed: Vec::new(),
        });
        running.say(remarks);
        let bench = Bench { gold: &gold, head, path, model: name };
        match opened {
            Opened::Directory(model) => bench.model(running, &model, args, context)?,
            Opened::Packed(packed) => {
                let encoder = packed.compiler().tier(context.tier).compile()?;
                let sparsity = packed.pruning().map(|pruning| pruning.sparsity);
                let evaluation = &mut running.evaluation;
                evaluation.calibration = evaluation.calibration.take().or(CalibrationSummary::packed(&packed));
                bench.measure(running, "packed", sparsity, Arc::new(encoder))?;
            }
        }
    }
    let Some(Running { mut evaluation, timed }) = running else {
        let expected = "a model with a head: the shipped model only embeds".into();
        return Err(Error::Argument { option: "--model", found: "none".into(), expected });
    };
    let times = time(&gold, &timed, sequences)?;
    evaluation.results.iter_mut().zip(times).for_each(|(row, time)| row.milliseconds_per_sequence = Some(time));
    Ok(evaluation)
}

/// A model that is opened when it is its turn.
type Opening<'a> = Box<dyn FnOnce() -> Result<Opened> + 'a>;

/// The models in the order of the report: that of `--model` or `--from-hub`, then those of `--packed`. Options that need f32 weights are
/// refused without a folder.
fn models(args: &Args) -> Result<Vec<(String, Opening<'_>)>> {
    let mut models: Vec<(String, Opening<'_>)> = Vec::new();
    let mut files: Vec<PathBuf> = args.packed.clone();
    match args.source.packed_path()? {
        Some(file) => files.insert(0, file),
        None if args.source.is_given() => {
            let read = || {
                let folder = args.source.folder()?.unwrap_or_default(); // there is one
                Ok(Opened::Directory(model::read(&folder)?.into()))
            };
            models.push((args.source.name(), Box::new(read)));
        }
        None => {}
    }
    let has_weights = !models.is_empty();
    for file in files {
        let name = file.display().to_string();
        let packed = move || {
            let packed = open(file)?;
            if !has_weights {
                args.calibration.check_packed(&packed)?;
                if !args.sparsity.is_empty() {
                    return Err(needs_weights(&packed, "--sparsity", "prune with lacuna pack --sparsity"));
                }
            }
            Ok(Opened::Packed(packed.into()))
        };
        models.push((name, Box::new(packed)));
    }
    Ok(models)
}

/// Times all models in turn, on records that are spread over the file; milliseconds per sequence.
fn time<G: Gold>(gold: &G, models: &[TaskModel], sequences: usize) -> Result<Vec<f64>> {
    let (task, records) = (gold.task(), gold.records());
    // One record may have many sequences.
    let most = (timing::TIMED * records.len() / sequences.max(1)).clamp(1, timing::TIMED);
    let records: Vec<<G::Task as Task>::Record> = timing::spread(records, most).cloned().collect();
    let sequences = records.iter().map(|record| record.inputs().len()).sum();
    let (task, records) = (&task, &records);
    let call = |model| -> Call<'_> { Box::new(move || Ok(task.run(model, records).map(drop)?)) };
    timing::milliseconds(models.iter().map(call).collect(), sequences)
}

impl Running {
    /// Says what was not said before.
    fn say(&mut self, remarks: impl IntoIterator<Item = String>) {
        for remark in remarks {
            if !self.evaluation.remarks.contains(&remark) {
                say(&remark);
                self.evaluation.remarks.push(remark);
            }
        }
    }
}

impl<G: Gold> Bench<'_, G> {
    /// The f32 reference first, then each sparsity, pruned in f32 and as compiled.
    fn model(&self, running: &mut Running, model: &Model, args: &Args, context: &Context) -> Result<()> {
        let texts = args.calibration.texts::<<G::Task as Task>::Record>()?;
        self.measure(running, "f32", None, Arc::new(model.clone()))?;
        let sparsities: Vec<Option<f64>> = match &args.sparsity[..] {
            [] => vec![None],
            list => list.iter().copied().map(Some).collect(),
        };
        for asked in sparsities {
            let pruned = Pruned::new(model.clone(), args.block, asked)?;
            running.say(pruned.warning().map(str::to_owned).or(pruned.remark()));
            let sparsity = asked.map(|_| pruned.sparsity());
            if asked.is_some() {
                self.measure(running, "f32 pruned", sparsity, Arc::new(pruned.model.clone()))?;
            }
            let calibrated = args.calibration.run(pruned.model, texts.as_ref(), context.tier)?;
            running.evaluation.calibration = Some(args.calibration.summary(calibrated.basis()));
            let encoder = model::compile(&calibrated, Form::Auto, context)?;
            self.measure(running, "int8", sparsity, Arc::new(encoder))?;
        }
        Ok(())
    }

    /// Runs all records on a model.
    fn measure(
        &self,
        running: &mut Running,
        name: &'static str,
        sparsity: Option<f64>,
        backbone: Arc<dyn Backbone>,
    ) -> Result<()> {
        let _spinner = Spinner::new(format!("running {}, {name}", self.model));
        let (task, records) = (self.gold.task(), self.gold.records());
        let model = TaskModel::new(backbone).with_head(Arc::clone(&self.head));
        let Isolated { rows, truncated } = run_isolated(&task, &model, records, true)?;
        let failed =
            |(record, reason)| Error::Line { path: self.path.to_owned(), line: self.gold.line(record), reason };
        let rows = rows.into_iter().enumerate().map(|(record, row)| row.map_err(|reason| failed((record, reason))));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        running.evaluation.truncated = truncated.len();
        running.evaluation.results.push(Measured {
            model: self.model.clone(),
            name,
            sparsity,
            scores: self.gold.scores(&rows),
            milliseconds_per_sequence: None,
        });
        running.timed.push(model);
        Ok(())
    }
}
