//! What the commands that run a task of the library share: reading texts and records, running the task, writing one line for each
//! record, and what is said about that. `ready` prepares the encoder.

mod ready;
mod summary;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lacuna::Encoder;
use lacuna::config::{Remark, RemarkScope};
use lacuna::errors::ModelError;
use lacuna::heads::Head;
use lacuna::tasks::{Record, Row, Task, TaskModel, TaskOutput};
use serde::Serialize;

use crate::calibration::{CalibrationArgs, CalibrationSummary};
use crate::model::{FormArg, ModelArgs, TuneArgs};
use crate::packed::Opened;
use lacuna_console::args;
use lacuna_console::context::{Context, pool};
use lacuna_console::error::{Error, Result};
use lacuna_console::output::Target;
use lacuna_console::progress::Spinner;
use lacuna_console::text;

use self::ready::{How, Ready, check};
pub(crate) use self::summary::Summary;

/// Options that these commands have in common.
#[derive(clap::Args)]
pub(crate) struct TaskArgs {
    #[command(flatten)]
    model: ModelArgs,

    /// Texts, one per line, UTF-8; - is standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    input: PathBuf,

    /// Lines of the input are JSON objects, as the examples show, instead of texts
    #[arg(long)]
    jsonl: bool,

    /// Where the results go; - is standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Which kernels run the linear layers
    #[arg(long, value_enum, default_value = "auto")]
    form: FormArg,

    #[command(flatten)]
    tuning: TuneArgs,

    /// Also run the f32 reference, and report how well the results agree
    #[arg(long)]
    verify: bool,

    /// What --verify must reach, else the exit status is 1: for embeddings the least cosine, for decisions the share that is equal
    /// [default: 0.95 for embeddings, 0.9 for decisions]
    #[arg(long, value_name = "X", requires = "verify", allow_hyphen_values = true, value_parser = args::fraction)]
    verify_least: Option<f64>,

    /// Print how the model was loaded: times, kernels, densities, forms
    #[arg(long)]
    report: bool,

    /// Say all of that as one JSON object on standard error
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    calibration: CalibrationArgs,
}

/// A finished run, before its results are written.
pub(crate) struct Done<T: Task> {
    pub(crate) output: TaskOutput<T::Row>,
    /// The comparison with the f32 reference, if it was requested.
    verify: Option<T::Agreement>,
    head: Option<Arc<Head>>,
    pub(crate) encoder: Arc<Encoder>,
    calibration: CalibrationSummary,
    warnings: Vec<String>,
    remarks: Vec<String>,
}

/// What is said of a run with a head.
#[derive(Serialize)]
struct About<'a> {
    /// Of the output.
    lines: usize,
    head: &'a str,
}

impl TaskArgs {
    /// Where the results go.
    pub(crate) fn target(&self) -> Result<Target> {
        Target::new(self.output.as_deref())
    }

    /// A task with a head, from the input to one line for each result. `of_lines` makes records of lines that are texts.
    pub(crate) fn run<T: Task>(
        &self,
        context: &Context,
        task: &T,
        of_lines: impl FnOnce(Vec<String>) -> Vec<T::Record> + Send,
    ) -> Result<()> {
        let target = self.target()?;
        pool(context.threads())?.install(|| {
            let done = self.execute(context, task, Ok, of_lines)?;
            write_rows(&target, &done.output.rows)?;
            let (lines, head) = (done.output.rows.len(), done.head.clone());
            let head = head.as_ref().map_or("", |head| head.class());
            self.say(context, done, About { lines, head })
        })
    }

    /// Runs a task on the input. `change` changes the model that was opened.
    pub(crate) fn execute<T: Task>(
        &self,
        context: &Context,
        task: &T,
        change: impl FnOnce(Opened) -> Result<Opened>,
        of_lines: impl FnOnce(Vec<String>) -> Vec<T::Record>,
    ) -> Result<Done<T>> {
        // The model first: a wrong directory is refused before somebody types texts into a terminal.
        let model = change(self.model.open()?)?;
        let mut remarks = of_task(model.remarks(), task.head_kind().is_some());
        let head = match task.head_kind() {
            None => None,
            Some(kind) => {
                let head = model.head()?;
                head.require(kind)?;
                remarks.extend(head.remarks(task.name() == "rank").into_iter().map(|remark| remark.text));
                Some(Arc::new(head))
            }
        };
        let records = self.records(of_lines)?;
        let Ready { encoder, calibrated, calibration, warnings } = self.how().ready::<T::Record>(model, context)?;
        let encoder = Arc::new(encoder);
        let model = TaskModel::new(encoder.clone());
        let model = match &head {
            Some(head) => model.with_head(head.clone()),
            None => model,
        };
        let output = {
            let _spinner = Spinner::new(format!("running {} lines", records.len()));
            task.run(&model, &records)?
        };
        let verify = match calibrated.filter(|_| self.verify) {
            None => None,
            Some(calibrated) => {
                let _spinner = Spinner::new("running the f32 reference");
                let reference = task.run(&model.on(Arc::new(calibrated.into_model())), &records)?;
                Some(task.agreement(&output.rows, &reference.rows))
            }
        };
        Ok(Done { output, verify, head, encoder, calibration, warnings, remarks })
    }

    /// How the encoder is made ready.
    fn how(&self) -> How<'_> {
        How {
            pruning: &self.model.pruning,
            calibration: &self.calibration,
            form: self.form,
            tuning: &self.tuning,
            verify: self.verify,
        }
    }

    /// Says everything about a run but its results.
    ///
    /// # Errors
    /// [`Error::Check`] if the results agree with the f32 reference less than `--verify-least` says.
    pub(crate) fn say<T: Task>(&self, context: &Context, done: Done<T>, about: impl Serialize) -> Result<()> {
        let Done { output, verify, encoder, calibration, mut warnings, remarks, .. } = done;
        let saturation = encoder.saturation();
        warnings.extend(saturation.worst().map(ready::saturated));
        let summary = Summary {
            about,
            tier: context.tier.name(),
            calibration,
            warnings,
            remarks,
            truncated: output.truncated,
            verify,
            report: self.report.then(|| encoder.report()),
            saturation: self.report.then_some(saturation),
        };
        summary.say(self.json);
        summary.verify.as_ref().map_or(Ok(()), |verify| check(verify, self.verify_least))
    }

    /// The lines of the input.
    fn records<R: Record>(&self, of_lines: impl FnOnce(Vec<String>) -> Vec<R>) -> Result<Vec<R>> {
        let lines = text::read_lines(&self.input)?;
        if lines.is_empty() {
            return Err(ModelError::EmptyBatch.into());
        }
        if self.jsonl { parse(&self.input, &lines) } else { Ok(of_lines(lines)) }
    }
}

/// The remarks that matter for a task with a head, or for embeddings.
fn of_task(remarks: Vec<Remark>, has_head: bool) -> Vec<String> {
    let other = if has_head { RemarkScope::Embeddings } else { RemarkScope::Head };
    remarks.into_iter().filter(|remark| remark.scope != other).map(|remark| remark.text).collect()
}

/// Writes one line for each row.
pub(crate) fn write_rows(target: &Target, rows: &[impl Row]) -> Result<()> {
    target.write(|out| {
        rows.iter().try_for_each(|row| {
            row.write_json(out)?;
            writeln!(out)
        })
    })
}

fn parse<R: Record>(path: &Path, lines: &[String]) -> Result<Vec<R>> {
    let name = if path == Path::new("-") { Path::new("standard input") } else { path };
    let parse = |(i, line): (usize, &String)| {
        R::parse(line).map_err(|found| Error::Row {
            path: name.to_owned(),
            line: i as u64 + 1,
            found: found.to_string(),
            expected: R::FORMAT,
        })
    };
    lines.iter().enumerate().map(parse).collect()
}
