//! The options that the commands with a task have in common.

use std::path::PathBuf;

use lacuna_console::args;
use lacuna_console::error::{Error, Result};
use lacuna_console::input::{Input, InputOptions, Kind};
use lacuna_console::output::Target;
use lacuna_console::text::TEXT_BYTES;

use super::gather::Bounds;
use super::policy::OnError;
use super::reading::Reading;
use crate::calibration::CalibrationArgs;
use crate::model::{FormArg, ModelArgs, TuneArgs};
use lacuna::tasks::Record;

/// Tokens of a batch: enough for every thread of a large machine.
const BATCH_TOKENS: usize = 32768;

/// Options that these commands have in common.
#[derive(clap::Args)]
pub(crate) struct TaskArgs {
    #[command(flatten)]
    pub(super) model: ModelArgs,

    #[command(flatten)]
    pub(super) input: InputArgs,

    #[command(flatten)]
    pub(super) output: OutputArgs,

    /// Which kernels run the linear layers
    #[arg(long, value_enum, default_value = "auto")]
    pub(super) form: FormArg,

    #[command(flatten)]
    pub(super) tuning: TuneArgs,

    /// Also run the f32 reference, and report how well the results agree. All results are kept in memory for that
    #[arg(long)]
    pub(super) verify: bool,

    /// What --verify must reach, else the exit status is 1: for embeddings the least cosine, for decisions the share that is equal
    /// [default: 0.95 for embeddings, 0.9 for decisions]
    #[arg(long, value_name = "X", requires = "verify", allow_hyphen_values = true, value_parser = args::fraction)]
    pub(super) verify_least: Option<f64>,

    /// Print how the model was loaded: times, kernels, densities, forms
    #[arg(long)]
    pub(super) report: bool,

    /// Say all of that as one JSON object on standard error
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) calibration: CalibrationArgs,
}

/// What is read, and how.
#[derive(clap::Args)]
#[command(next_help_heading = "Input")]
pub(crate) struct InputArgs {
    /// Texts, one per line, UTF-8; - is standard input. The name tells other kinds: .jsonl, .ndjson, .csv, .tsv, .parquet; and
    /// .gz and .zst, which are unpacked
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub(super) input: PathBuf,

    /// Lines of the input are JSON objects, as the examples show, instead of texts: short for --input-format jsonl
    #[arg(long, conflicts_with = "input_format")]
    pub(super) jsonl: bool,

    /// What the input is [default: as its name says, else text]
    #[arg(long, value_enum, value_name = "KIND")]
    pub(super) input_format: Option<Kind>,

    /// Columns of a table that hold the texts: names of its header, or numbers from 1 if it has none [default: those that are
    /// named like the fields of --jsonl, else the first]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    pub(super) columns: Vec<String>,

    /// What happens to a line that gives no result: not UTF-8, no JSON object, too long, with a token outside of the vocabulary
    /// [default: null where the output is one JSON object per line of the input, else stop]
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(super) on_error: Option<OnError>,

    /// Longest text in bytes. A longer one gives no result. All of a text is tokenized before it is truncated, which takes about 200
    /// times its bytes of memory
    #[arg(long, value_name = "N", default_value_t = TEXT_BYTES, value_parser = args::at_least_one)]
    pub(super) text_bytes: usize,

    /// Texts run together until they have about this many tokens, or no more input is there. Bounds the memory
    #[arg(long, value_name = "N", default_value_t = BATCH_TOKENS, value_parser = args::at_least_one)]
    pub(super) batch_tokens: usize,
}

/// Where results go.
#[derive(clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Where the results go; - is standard output. A file appears when it is complete
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,

    /// Keep results in FILE.partial until they are complete, and go on with those that an interrupted run left there. One run at a
    /// time can have them
    #[arg(long, requires = "output")]
    pub(super) resume: bool,
}

impl TaskArgs {
    /// Where the results go.
    pub(crate) fn target(&self) -> Result<Target> {
        Target::new(self.output.output.as_deref())
    }

    /// What `--output` names.
    pub(crate) fn output_path(&self) -> Option<&std::path::Path> {
        self.output.output.as_deref()
    }

    /// Refuses an output that is one of the files that are read.
    pub(super) fn check_files(&self, target: &Target) -> Result<()> {
        let Target::File(output) = target else { return Ok(()) };
        let same =
            |path: &std::path::Path| matches!((path.canonicalize(), output.canonicalize()), (Ok(a), Ok(b)) if a == b);
        let read = [("--input", Some(&self.input.input)), ("--calibrate", self.calibration.calibrate.as_ref())];
        match read.into_iter().find(|(_, path)| path.is_some_and(|path| same(path))) {
            None => Ok(()),
            Some((option, _)) => Err(Error::Argument {
                option: "--output",
                found: format!("{}, which is the file of {option}", self.output_path().unwrap_or(output).display()),
                expected: "another file: results would replace what is read".into(),
            }),
        }
    }

    /// What happens to bad lines. `has_null`: whether the output is one JSON object per line, which can say that it has no result.
    pub(crate) fn on_error(&self, has_null: bool) -> OnError {
        self.input.on_error.unwrap_or(if has_null { OnError::Null } else { OnError::Stop })
    }

    /// Opens the input.
    pub(super) fn open_input<R: Record>(&self, reading: &Reading<'_, R>) -> Result<Input> {
        let args = &self.input;
        let (kind, kind_option) = match args.jsonl {
            true => (Some(Kind::Jsonl), "--jsonl"),
            false => (args.input_format, "--input-format"),
        };
        let (fields, required) = (reading.fields, reading.required);
        let (path, columns, text_bytes) = (&args.input, &args.columns[..], args.text_bytes);
        let input = Input::open(&InputOptions { path, kind, kind_option, columns, fields, required, text_bytes })?;
        reading.check(input.kind())?;
        if reading.is_one() && self.output.resume {
            return Err(Error::Argument {
                option: "--resume",
                found: "one result for all lines".into(),
                expected: "a result per line: JSON lines".into(),
            });
        }
        if reading.is_one() && input.kind() != Kind::Jsonl && args.on_error == Some(OnError::Null) {
            return Err(Error::Argument {
                option: "--on-error",
                found: "null with one result for all lines".into(),
                expected: "stop or skip".into(),
            });
        }
        Ok(input)
    }

    /// The bounds of a batch.
    pub(super) fn bounds(&self, per_text: usize, on_error: OnError) -> Bounds {
        let InputArgs { batch_tokens, text_bytes, .. } = self.input;
        Bounds { tokens: batch_tokens, per_text, text_bytes, on_error }
    }

    /// Options that change which results there are, for runs that are resumed.
    pub(super) fn settings(&self, more: &str, on_error: OnError) -> String {
        let InputArgs { text_bytes, columns, .. } = &self.input;
        format!("{more}; on-error {on_error:?}, text-bytes {text_bytes}, columns {columns:?}").to_lowercase()
    }
}
