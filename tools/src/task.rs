//! What the commands for models with a head share: reading texts and records, calibrating on them, writing one line for each.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lacuna::heads::{Head, HeadKind};
use lacuna::{CalibratedModel, Encoder, Model, TextInput, Truncation};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::{Context, pool};
use crate::error::{Error, Result};
use crate::model::{self, CALIBRATION_SENTENCES, FormArg, ModelArgs, TuneArgs};
use crate::output::{Target, say};
use crate::progress::Spinner;
use crate::text;

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

    /// Where the results go, one JSON object per line; - is standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Calibration texts: a text file, one per line, the first column of a .csv, or a .jsonl of objects like those of --jsonl
    /// [default: the first 200 texts or pairs of the input]
    #[arg(long, value_name = "FILE")]
    calibrate: Option<PathBuf>,

    /// Which kernels run the linear layers
    #[arg(long, value_enum, default_value = "auto")]
    form: FormArg,

    #[command(flatten)]
    tuning: TuneArgs,

    /// Print how the model was loaded: times, kernels, densities, forms
    #[arg(long)]
    report: bool,
}

/// A line of the input as JSON.
pub(crate) trait Record: DeserializeOwned {
    /// What a line looks like, for errors.
    const EXPECTED: &'static str;

    /// What the model reads of it.
    fn inputs(&self) -> Vec<TextInput<'_>>;
}

/// The results, and what is to be said about them.
pub(crate) struct Done<T> {
    /// One per line of output.
    pub(crate) rows: Vec<T>,
    /// Remarks, in words.
    pub(crate) remarks: Vec<String>,
}

/// "NAME: 600 tokens, the model takes 512: the rest was cut".
pub(crate) fn cut(name: &str, cut: &Truncation) -> String {
    format!("{name}: {} tokens, the model takes {}: the rest was cut", cut.tokens, cut.limit)
}

/// The same of every input that was cut, by its number from 0.
pub(crate) fn cuts(truncated: &[Truncation]) -> Vec<String> {
    truncated.iter().map(|one| cut(&format!("text {}", one.sentence), one)).collect()
}

impl TaskArgs {
    /// From the input to one line for each result. `of_lines` makes records of plain lines; `work` turns records into results.
    pub(crate) fn run<R: Record + Sync, T: Serialize + Send>(
        &self,
        kind: HeadKind,
        context: &Context,
        of_lines: impl FnOnce(Vec<String>) -> Vec<R> + Send,
        work: impl FnOnce(Arc<Encoder>, Head, &[R]) -> Result<Done<T>> + Send,
    ) -> Result<()> {
        let target = Target::new(self.output.as_deref())?;
        pool(context.threads())?.install(|| {
            // The model first: a wrong directory is refused before somebody types texts into a terminal.
            let model = self.model.read()?;
            let head = model.head()?;
            head.require(kind)?;
            let lines = text::read_lines(&self.input)?;
            let records = if self.jsonl { parse(&self.input, &lines)? } else { of_lines(lines) };
            let (calibrated, remark) = self.calibrated(self.model.pruning.apply(model)?, &records)?;
            let encoder = Arc::new(self.tuning.compile(&calibrated, self.form.into(), context)?);
            let done = {
                let _spinner = Spinner::new(format!("running {} lines", records.len()));
                work(Arc::clone(&encoder), head, &records)?
            };
            target.write(|out| {
                done.rows.iter().try_for_each(|row| {
                    serde_json::to_writer(&mut *out, row)?;
                    writeln!(out)
                })
            })?;
            remark.iter().chain(&done.remarks).for_each(say);
            if self.report {
                say(encoder.report().to_string().trim_end());
            }
            Ok(())
        })
    }

    /// The calibrated model, and what is to be said when its own input had to do.
    fn calibrated<R: Record>(&self, model: Model, records: &[R]) -> Result<(CalibratedModel, Option<String>)> {
        let Some(path) = &self.calibrate else {
            let inputs: Vec<TextInput<'_>> = records.iter().flat_map(R::inputs).take(CALIBRATION_SENTENCES).collect();
            let remark = format!(
                "calibrated on the first {} input texts; --calibrate FILE takes others (about 200 are enough)",
                inputs.len()
            );
            return Ok((calibrate(model, &inputs)?, Some(remark)));
        };
        let calibrated = match path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl")) {
            true => {
                let records: Vec<R> = parse(path, &text::read_lines(path)?)?;
                calibrate(model, &records.iter().flat_map(R::inputs).collect::<Vec<_>>())?
            }
            false => {
                let texts = model::calibration_file(path, usize::MAX)?;
                calibrate(model, &texts.iter().map(|text| TextInput::new(text)).collect::<Vec<_>>())?
            }
        };
        Ok((calibrated, None))
    }
}

fn calibrate(model: Model, inputs: &[TextInput<'_>]) -> Result<CalibratedModel> {
    let _spinner = Spinner::new(format!("calibrating on {} texts", inputs.len()));
    Ok(model.calibrate_inputs(inputs)?)
}

fn parse<R: Record>(path: &Path, lines: &[String]) -> Result<Vec<R>> {
    let name = if path == Path::new("-") { Path::new("standard input") } else { path };
    let parse = |(i, line): (usize, &String)| {
        serde_json::from_str(line).map_err(|error| Error::Row {
            path: name.to_owned(),
            line: i as u64 + 1,
            found: error.to_string(),
            expected: R::EXPECTED,
        })
    };
    lines.iter().enumerate().map(parse).collect()
}
