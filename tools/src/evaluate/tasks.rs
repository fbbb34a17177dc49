//! Tasks with a head, on f32 and as compiled.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use lacuna::heads::Head;
use lacuna::tasks::{Backbone, Record, Task, TaskModel};
use lacuna::{Form, Model};
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::output::say;
use lacuna_console::progress::Spinner;
use lacuna_console::zeros::Pruned;

use super::args::Args;
use super::gold::Gold;
use super::task_report::{Measured, TaskEvaluation};
use crate::calibration::CalibrationSummary;
use crate::model;
use crate::packed::{Opened, needs_weights, open};
use crate::task::{Isolated, of_head, run_isolated};

/// Records with gold answers, and what is needed to measure models on them.
struct Bench<'a, G> {
    gold: &'a G,
    head: Arc<Head>,
    path: &'a Path,
    sequences: usize,
}

/// Everything that the options ask for.
pub(super) fn evaluate<G: Gold>(args: &Args, path: &Path, context: &Context) -> Result<TaskEvaluation> {
    // Not in clap's words: it does not ask for what conflicts with an option that is given.
    if args.schemes {
        let expected = "--pairs FILE.csv with it: schemes are compared on pairs".into();
        return Err(Error::Argument { option: "--schemes", found: "no --pairs".into(), expected });
    }
    let mut gold = G::read(path)?;
    let opened = match args.source.packed_path()? {
        Some(file) => Opened::Packed(open(file)?.into()),
        None => {
            let folder: PathBuf = args.source.folder()?.unwrap_or_default(); // clap guarantees that there is one
            Opened::Directory(model::read(&folder)?.into())
        }
    };
    let head = Arc::new(opened.head()?);
    let task = gold.task();
    if let Some(kind) = task.head_kind() {
        head.require(kind)?;
    }
    gold.bind(&head)?;
    // Scores of a ranking are logits here.
    let remarks = of_head(&opened, &head, task.name() == "rank", true);
    remarks.iter().for_each(say);
    let sequences = gold.records().iter().map(|record| record.inputs().len()).sum();
    let bench = Bench { gold: &gold, head: Arc::clone(&head), path, sequences };
    let mut evaluation = TaskEvaluation {
        model: args.source.name(),
        task: task.name(),
        head: head.class().to_owned(),
        records: gold.records().len(),
        noun: G::NOUN,
        sequences,
        truncated: 0,
        tier: context.tier.name(),
        calibration: None,
        results: Vec::new(),
        remarks,
    };
    match opened {
        Opened::Directory(model) => bench.model(&mut evaluation, &model, args, context)?,
        Opened::Packed(packed) => {
            args.calibration.check_packed(&packed)?;
            if !args.sparsity.is_empty() {
                return Err(needs_weights(&packed, "--sparsity", "prune with lacuna pack --sparsity"));
            }
            let encoder = packed.compiler().tier(context.tier).compile()?;
            let sparsity = packed.pruning().map(|pruning| pruning.sparsity);
            evaluation.calibration = CalibrationSummary::packed(&packed);
            bench.measure(&mut evaluation, "packed", sparsity, Arc::new(encoder))?;
        }
    }
    Ok(evaluation)
}

impl<G: Gold> Bench<'_, G> {
    /// The f32 reference first, then each sparsity, pruned in f32 and as compiled.
    fn model(&self, evaluation: &mut TaskEvaluation, model: &Model, args: &Args, context: &Context) -> Result<()> {
        let texts = args.calibration.texts::<<G::Task as Task>::Record>()?;
        self.measure(evaluation, "f32", None, Arc::new(model.clone()))?;
        let sparsities: Vec<Option<f64>> = match &args.sparsity[..] {
            [] => vec![None],
            list => list.iter().copied().map(Some).collect(),
        };
        for asked in sparsities {
            let pruned = Pruned::new(model.clone(), args.block, asked)?;
            if let Some(said) = pruned.warning().map(str::to_owned).or(pruned.remark())
                && !evaluation.remarks.contains(&said)
            {
                say(&said);
                evaluation.remarks.push(said);
            }
            let sparsity = asked.map(|_| pruned.sparsity());
            if asked.is_some() {
                self.measure(evaluation, "f32 pruned", sparsity, Arc::new(pruned.model.clone()))?;
            }
            let calibrated = args.calibration.run(pruned.model, texts.as_ref(), context.tier)?;
            evaluation.calibration = Some(args.calibration.summary(calibrated.basis()));
            let encoder = model::compile(&calibrated, Form::Auto, context)?;
            self.measure(evaluation, "int8", sparsity, Arc::new(encoder))?;
        }
        Ok(())
    }

    /// Runs all records on a model, after the first one, which is not timed.
    fn measure(
        &self,
        evaluation: &mut TaskEvaluation,
        name: &'static str,
        sparsity: Option<f64>,
        backbone: Arc<dyn Backbone>,
    ) -> Result<()> {
        let _spinner = Spinner::new(format!("running {name}"));
        let (task, records) = (self.gold.task(), self.gold.records());
        let model = TaskModel::new(backbone).with_head(Arc::clone(&self.head));
        run_isolated(&task, &model, records.get(..1).unwrap_or_default(), true)?;
        let start = Instant::now();
        let Isolated { rows, truncated } = run_isolated(&task, &model, records, true)?;
        let seconds = start.elapsed().as_secs_f64();
        let failed =
            |(record, reason)| Error::Line { path: self.path.to_owned(), line: self.gold.line(record), reason };
        let rows = rows.into_iter().enumerate().map(|(record, row)| row.map_err(|reason| failed((record, reason))));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        evaluation.truncated = truncated.len();
        evaluation.results.push(Measured {
            name,
            sparsity,
            scores: self.gold.scores(&rows),
            milliseconds_per_sequence: seconds * 1e3 / self.sequences.max(1) as f64,
        });
        Ok(())
    }
}
