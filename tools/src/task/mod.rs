//! What the commands that turn texts into something share: reading texts and records, calibrating on them, writing one line for
//! each, and what is said about that.

mod summary;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lacuna::heads::{Backbone, Head, HeadKind};
use lacuna::{CalibratedModel, Encoder, Model, ModelError, TextInput};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::calibration::SchemeArgs;
use crate::context::{Context, pool};
use crate::error::{Error, Result};
use crate::model::{self, CALIBRATION_SENTENCES, FormArg, ModelArgs, TuneArgs};
use crate::output::Target;
use crate::packed::{Opened, decided, needs_weights};
use crate::progress::Spinner;
use crate::text;

pub(crate) use self::summary::{Calibration, Cut, Said, Summary, cuts};
pub(crate) use self::verify::{Agreement, Outcome, ranked};

/// Options that these commands have in common.
#[derive(clap::Args)]
pub(crate) struct TaskArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,

    /// Texts, one per line, UTF-8; - is standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    input: PathBuf,

    /// Lines of the input are JSON objects, as the examples show, instead of texts
    #[arg(long)]
    jsonl: bool,

    /// Where the results go; - is standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Calibration texts: a text file, one per line, the first column of a .csv, or a .jsonl of objects like those of --jsonl
    /// [default: the first 200 texts or pairs of the input]
    #[arg(long, value_name = "FILE")]
    calibrate: Option<PathBuf>,

    #[command(flatten)]
    scheme: SchemeArgs,

    /// Which kernels run the linear layers
    #[arg(long, value_enum, default_value = "auto")]
    form: FormArg,

    #[command(flatten)]
    tuning: TuneArgs,

    /// Also run the f32 reference, and say how far the results agree
    #[arg(long)]
    pub(crate) verify: bool,

    /// Print how the model was loaded: times, kernels, densities, forms
    #[arg(long)]
    pub(crate) report: bool,

    /// Say all of that as one JSON object on standard error
    #[arg(long)]
    pub(crate) json: bool,
}

/// A line of the input.
pub(crate) trait Record: Sized {
    /// What a line of --jsonl looks like, for errors.
    const EXPECTED: &'static str;

    /// A line of --jsonl.
    fn parse(line: &str) -> Result<Self, String>;

    /// What the model reads of it.
    fn inputs(&self) -> Vec<TextInput<'_>>;
}

/// [`Record::parse`] of a type that says all there is to it.
pub(crate) fn parse_json<R: DeserializeOwned>(line: &str) -> Result<R, String> {
    serde_json::from_str(line).map_err(|error| error.to_string())
}

/// What a command does with a head.
pub(crate) trait Task: Sync {
    /// A line of the input.
    type Record: Record + Sync;
    /// A line of the output.
    type Row: Serialize + Send;

    /// Which head.
    const KIND: HeadKind;

    /// Records of lines that are texts.
    fn of_lines(&self, lines: Vec<String>) -> Vec<Self::Record>;

    /// Records to results, on the compiled encoder or on the f32 reference.
    fn work<B: Backbone>(&self, backbone: Arc<B>, head: Head, records: &[Self::Record]) -> Result<Done<Self::Row>>;

    /// What a row says, for comparing.
    fn outcomes(row: &Self::Row) -> Vec<Outcome>;
}

/// The results, and what of the input was not used.
pub(crate) struct Done<T> {
    /// One per line of output.
    pub(crate) rows: Vec<T>,
    /// Inputs of which only the beginning was read.
    pub(crate) cuts: Vec<Cut>,
}

/// An encoder, ready to run.
pub(crate) struct Ready {
    pub(crate) encoder: Encoder,
    /// What it was compiled from; nothing for a packed model.
    pub(crate) calibrated: Option<CalibratedModel>,
    pub(crate) calibration: Calibration,
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

    /// From the input to one line for each result.
    pub(crate) fn run<T: Task>(&self, context: &Context, task: &T) -> Result<()> {
        let target = self.target()?;
        pool(context.threads())?.install(|| {
            // The model first: a wrong directory is refused before somebody types texts into a terminal.
            let model = self.model.open()?;
            let head = model.head()?;
            head.require(T::KIND)?;
            let records = self.records(|lines| task.of_lines(lines))?;
            let Ready { encoder, calibrated, calibration } = self.ready(model, &records, context)?;
            let encoder = Arc::new(encoder);
            let done = {
                let _spinner = Spinner::new(format!("running {} lines", records.len()));
                task.work(Arc::clone(&encoder), head.clone(), &records)?
            };
            let verify = match calibrated.filter(|_| self.verify) {
                None => None,
                Some(calibrated) => {
                    let _spinner = Spinner::new("running the f32 reference");
                    let reference = task.work(Arc::new(calibrated.into_model()), head.clone(), &records)?;
                    Some(Agreement::of(&done.rows, &reference.rows, T::outcomes))
                }
            };
            target.write(|out| {
                done.rows.iter().try_for_each(|row| {
                    serde_json::to_writer(&mut *out, row)?;
                    writeln!(out)
                })
            })?;
            let summary = Summary {
                about: About { lines: done.rows.len(), head: head.class() },
                tier: context.tier.name(),
                calibration,
                truncated: done.cuts,
                verify,
                report: self.report.then(|| encoder.report()),
            };
            summary.say(self.json);
            Ok(())
        })
    }

    /// The lines of the input.
    pub(crate) fn records<R: Record>(&self, of_lines: impl FnOnce(Vec<String>) -> Vec<R>) -> Result<Vec<R>> {
        let lines = text::read_lines(&self.input)?;
        if lines.is_empty() {
            return Err(ModelError::EmptyBatch.into());
        }
        if self.jsonl { parse(&self.input, &lines) } else { Ok(of_lines(lines)) }
    }

    /// The encoder, calibrated and compiled as the options say; of a packed model only compiled, and options that it cannot follow
    /// are refused.
    pub(crate) fn ready<R: Record>(&self, model: Opened, records: &[R], context: &Context) -> Result<Ready> {
        let packed = match model {
            Opened::Packed(packed) => packed,
            Opened::Directory(model) => {
                let (calibrated, calibration) = self.calibrated(self.model.pruning.apply(*model)?, records)?;
                let encoder = self.tuning.compile(&calibrated, self.form.into(), context)?;
                return Ok(Ready { encoder, calibrated: Some(calibrated), calibration });
            }
        };
        if self.verify {
            return Err(needs_weights(&packed, "--verify", "verify with it before packing"));
        }
        if self.calibrate.is_some() {
            return Err(needs_weights(&packed, "--calibrate", "calibrate with lacuna pack --calibrate"));
        }
        if let Some((option, found)) = self.scheme.first() {
            return Err(decided(option, found));
        }
        if !matches!(self.form, FormArg::Auto) {
            return Err(decided("--form", format!("{:?}", self.form).to_lowercase()));
        }
        self.tuning.check_packed()?;
        let encoder = packed.compiler().tier(context.tier).compile()?;
        let source = packed.path().map_or_else(String::new, |path| path.display().to_string());
        Ok(Ready { encoder, calibrated: None, calibration: Calibration { source, texts: 0, from_input: false } })
    }

    /// The calibrated model, and what it was calibrated on: the file, or else the beginning of the input.
    fn calibrated<R: Record>(&self, model: Model, records: &[R]) -> Result<(CalibratedModel, Calibration)> {
        let from_input = self.calibrate.is_none();
        let source = self.calibrate.as_ref().map_or_else(|| "input".into(), |path| path.display().to_string());
        let (of_file, texts);
        let inputs: Vec<TextInput<'_>> = match &self.calibrate {
            None => records.iter().flat_map(R::inputs).take(CALIBRATION_SENTENCES).collect(),
            Some(path) if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl")) => {
                of_file = parse::<R>(path, &text::read_lines(path)?)?;
                of_file.iter().flat_map(R::inputs).collect()
            }
            Some(path) => {
                texts = model::calibration_file(path, usize::MAX)?;
                texts.iter().map(|text| TextInput::new(text)).collect()
            }
        };
        let _spinner = Spinner::new(format!("calibrating on {} texts", inputs.len()));
        let calibrated = model.calibration().options(self.scheme.options()).run(&inputs)?;
        Ok((calibrated, Calibration { source, texts: inputs.len(), from_input }))
    }
}

fn parse<R: Record>(path: &Path, lines: &[String]) -> Result<Vec<R>> {
    let name = if path == Path::new("-") { Path::new("standard input") } else { path };
    let parse = |(i, line): (usize, &String)| {
        R::parse(line).map_err(|found| Error::Row {
            path: name.to_owned(),
            line: i as u64 + 1,
            found,
            expected: R::EXPECTED,
        })
    };
    lines.iter().enumerate().map(parse).collect()
}
