//! `lacuna embed`: sentences in, embeddings out.

mod format;
mod npy;
#[cfg(feature = "parquet")]
mod parquet;
mod sink;

use std::path::PathBuf;

use clap::ValueEnum;
use lacuna::Encoder;
use lacuna::config::PoolingMode;
use lacuna::tasks::{EmbedPrompt, EmbedRecord, EmbedTask, VectorPrecision};

use self::format::{Format, JsonVectors};
use self::npy::Npy;
use self::sink::EmbedSink;
use crate::packed::Opened;
use crate::task::{OnError, OutputKind, Reading, TaskArgs, Work, output_kind};
use lacuna_console::args;
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::source::at_most_one;

/// Embed sentences, one per line
///
/// Reads the model, prunes it if --sparsity is given, calibrates the int8 quantisation, generates code, and writes one
/// embedding per input line, as soon as it is computed. Without --model the shipped model runs: all-MiniLM-L6-v2 with 80 % of its
/// weights zero, in int8. An empty line is an empty sentence. A sentence over the model's length limit is
/// truncated, with a warning on standard error.
#[derive(clap::Args)]
#[command(group(at_most_one()))]
#[command(after_help = "\
Examples:
  echo 'A cat sits.' | lacuna embed
  echo 'A cat sits.' | lacuna embed --model all-MiniLM-L6-v2
  lacuna embed --model all-MiniLM-L6-v2 --input sentences.txt --output embeddings.npy
  lacuna embed --model all-MiniLM-L6-v2 --input articles.csv.gz --columns title --on-error null --output embeddings.npy --resume
  lacuna embed --model all-MiniLM-L6-v2 --sparsity 0.9 --input sentences.txt --verify --report
  echo '{\"id\":7,\"text\":\"A cat sits.\"}' | lacuna embed --from-hub sentence-transformers/all-MiniLM-L6-v2 --jsonl

Input of --jsonl: {\"text\":\"A cat sits.\"}; other fields are copied to the output.
Output, jsonl: one line {\"text\":\"A cat sits.\",\"embedding\":[0.01,...]} per sentence.
Output, npy: a little-endian array of shape (sentences, features), for numpy.load. It is written when all texts are read.
A line that gives no result is {\"embedding\":null,\"line\":7,\"error\":\"...\"} with its other
fields. In an array it stops the command, or is a row of NaN with --on-error null.
An output file appears when it is complete, or not at all.")]
pub(crate) struct Args {
    #[command(flatten)]
    task: TaskArgs,

    /// Output format [default: as the name of --output says: .npy, .parquet; jsonl for every other name]
    #[arg(long, value_enum, help_heading = "Output")]
    format: Option<FormatArg>,

    /// How token vectors become one; modules behind pooling stay [default: as in the model's files, else mean]
    #[arg(long, value_enum)]
    pooling: Option<PoolingArg>,

    /// Divide embeddings by their L2 norm; of this and --no-normalize the last counts [default: as in the model's files, else not]
    #[arg(long, overrides_with = "no_normalize")]
    normalize: bool,

    /// Do not normalise embeddings; overrides the model's files. With --dimensions: do not normalise the shortened ones
    #[arg(long, overrides_with = "normalize")]
    no_normalize: bool,

    /// Text that is put before every text, as models such as E5 and BGE need it; "" for none [default: the model's default prompt]
    #[arg(long, value_name = "TEXT", conflicts_with = "prompt_name")]
    prompt: Option<String>,

    /// Name of a prompt in the model's files: query, document, ...
    #[arg(long, value_name = "NAME")]
    prompt_name: Option<String>,

    /// Keep the first N features only, and divide them by their L2 norm; with --no-normalize they are only cut, behind the model's
    /// own normalisation, as by truncate_dim of sentence-transformers. For models that are trained for it (Matryoshka)
    #[arg(long, value_name = "N", visible_alias = "truncate-dim", value_parser = args::at_least_one, help_heading = "Output")]
    dimensions: Option<usize>,

    /// How the values are stored, as sentence-transformers computes it
    #[arg(long, value_enum, default_value = "f32", help_heading = "Output")]
    precision: PrecisionArg,

    /// Ranges of --precision int8 and uint8: an .npy file in f32 of shape (2, features), the least and the largest value of each
    /// [default: those of all embeddings of this run, which are kept in memory until the end]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    ranges: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    /// One JSON object per line
    Jsonl,
    /// NumPy array
    Npy,
    /// Parquet file with the columns text and embedding; needs a build with --features parquet
    Parquet,
}

impl From<FormatArg> for OutputKind {
    fn from(format: FormatArg) -> OutputKind {
        match format {
            FormatArg::Jsonl => OutputKind::JsonLines,
            FormatArg::Npy => OutputKind::Npy,
            FormatArg::Parquet => OutputKind::Parquet,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PrecisionArg {
    /// As computed
    F32,
    /// 256 steps over the range of each feature, from -128
    Int8,
    /// The same, from 0
    Uint8,
    /// A bit per feature, eight in a byte, less 128
    Binary,
    /// The same, without the subtraction
    Ubinary,
}

impl From<PrecisionArg> for VectorPrecision {
    fn from(precision: PrecisionArg) -> VectorPrecision {
        match precision {
            PrecisionArg::F32 => VectorPrecision::F32,
            PrecisionArg::Int8 => VectorPrecision::Int8,
            PrecisionArg::Uint8 => VectorPrecision::Uint8,
            PrecisionArg::Binary => VectorPrecision::Binary,
            PrecisionArg::Ubinary => VectorPrecision::Ubinary,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PoolingArg {
    /// Mean over all tokens, special tokens included
    Mean,
    /// The first token
    Cls,
    /// Maximum over all tokens, per feature
    Max,
    /// Sum over all tokens, divided by the square root of their number
    MeanSqrtLen,
    /// Mean in which later tokens weigh more
    WeightedMean,
    /// The last token
    LastToken,
}

impl From<PoolingArg> for PoolingMode {
    fn from(pooling: PoolingArg) -> PoolingMode {
        match pooling {
            PoolingArg::Mean => PoolingMode::Mean,
            PoolingArg::Cls => PoolingMode::Cls,
            PoolingArg::Max => PoolingMode::Max,
            PoolingArg::MeanSqrtLen => PoolingMode::MeanSqrtLen,
            PoolingArg::WeightedMean => PoolingMode::WeightedMean,
            PoolingArg::LastToken => PoolingMode::LastToken,
        }
    }
}

/// What only this command says of a run.
#[derive(serde::Serialize)]
struct About {
    sentences: u64,
    features: usize,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let kind = args.kind()?;
    args.check(kind)?;
    let task = EmbedTask { prompt: args.prompt() };
    let work = Work {
        task: &task,
        on_error: args.task.on_error(kind == OutputKind::JsonLines),
        reading: Reading::each(&["text"], 1, |texts: Vec<String>| {
            EmbedRecord::new(texts.into_iter().next().unwrap_or_default())
        }),
        change: Box::new(|model| args.pooled(model)),
        sink: Box::new(move |encoder| {
            encoder.prompts().choose(args.prompt().choice())?; // a name that the model lacks
            args.sink(kind, features(encoder))
        }),
        note: args.note(kind),
        settings: args.settings(kind),
        can_resume: kind != OutputKind::Parquet && !args.waits(),
        prompt: args.prompt(),
        raw: false,
    };
    args.task.execute(context, work, |sentences, encoder, _| About {
        sentences,
        features: args.dimensions.unwrap_or_else(|| features(encoder)),
    })
}

/// Features of an embedding.
fn features(encoder: &Encoder) -> usize {
    encoder.features()
}

impl Args {
    /// What is put before every text.
    fn prompt(&self) -> EmbedPrompt {
        match (&self.prompt, &self.prompt_name) {
            (Some(text), _) if text.is_empty() => EmbedPrompt::None,
            (Some(text), _) => EmbedPrompt::Text(text.clone()),
            (None, Some(name)) => EmbedPrompt::Name(name.clone()),
            (None, None) => EmbedPrompt::Default,
        }
    }

    /// The model with the pooling that the options say.
    fn pooled(&self, model: Opened) -> Result<Opened> {
        let normalize = match (self.normalize, self.no_normalize) {
            (true, _) => Some(true),
            // Of shortened embeddings only the second division is left out.
            (false, true) if self.dimensions.is_none() => Some(false),
            _ => None,
        };
        model.with_pooling(self.pooling.map(PoolingMode::from), normalize)
    }

    /// The format: what is asked for, and what the name says, must be the same.
    fn kind(&self) -> Result<OutputKind> {
        let named = output_kind(self.task.output_path())?;
        let asked = self.format.map(OutputKind::from);
        if let (Some(named), Some(asked), Some(path)) = (named, asked, self.task.output_path())
            && named != asked
        {
            return Err(Error::Argument {
                option: "--format",
                found: format!("{} for the file {}", asked.name(), path.display()),
                expected: format!("{}, as the file's name says", named.name()),
            });
        }
        Ok(asked.or(named).unwrap_or(OutputKind::JsonLines))
    }

    /// What is said of a format that only the name tells.
    fn note(&self, kind: OutputKind) -> Option<String> {
        let path = self.task.output_path().filter(|_| self.format.is_none() && kind != OutputKind::JsonLines)?;
        Some(format!("{}: will be written as {}, as its name says", path.display(), kind.name()))
    }

    fn check(&self, kind: OutputKind) -> Result<()> {
        let precision = VectorPrecision::from(self.precision);
        if kind != OutputKind::JsonLines && self.task.target()?.is_terminal() {
            return Err(Error::Argument {
                option: "--format",
                found: format!("{} on a terminal", kind.name()),
                expected: "--output FILE, or standard output to a file or pipe".into(),
            });
        }
        if self.ranges.is_some() && !precision.needs_ranges() {
            return Err(Error::Argument {
                option: "--ranges",
                found: format!("--precision {precision}"),
                expected: "--precision int8 or uint8, which have ranges".into(),
            });
        }
        if kind == OutputKind::Npy && self.task.on_error(false) == OnError::Null && precision != VectorPrecision::F32 {
            return Err(Error::Argument {
                option: "--on-error",
                found: format!("null with an array of --precision {precision}, which has no value for it"),
                expected: "stop or skip, or JSON lines".into(),
            });
        }
        if cfg!(not(feature = "parquet")) && kind == OutputKind::Parquet {
            return Err(Error::Argument {
                option: "--output",
                found: "a Parquet file".into(),
                expected: "JSON lines or .npy, or a build of lacuna with --features parquet".into(),
            });
        }
        Ok(())
    }

    /// Whether rows wait for the ranges of all of them.
    fn waits(&self) -> bool {
        VectorPrecision::from(self.precision).needs_ranges() && self.ranges.is_none()
    }

    fn sink(&self, kind: OutputKind, features: usize) -> Result<EmbedSink> {
        let precision = VectorPrecision::from(self.precision);
        if let Some(found) = self.dimensions.filter(|&found| found > features) {
            return Err(Error::Argument {
                option: "--dimensions",
                found: found.to_string(),
                expected: format!("at most {features}, the features of the model's embeddings"),
            });
        }
        let kept = self.dimensions.unwrap_or(features);
        if precision.packs_bits() && !kept.is_multiple_of(8) {
            return Err(Error::Argument {
                option: "--precision",
                found: format!("{precision} for {kept} features"),
                expected: "a multiple of 8 features, which --dimensions can choose".into(),
            });
        }
        let ranges = self.ranges.as_deref().map(|path| npy::read_ranges(path, kept)).transpose()?;
        let columns = precision.values(kept);
        let format: Box<dyn Format> = match kind {
            OutputKind::JsonLines => Box::new(JsonVectors),
            OutputKind::Npy => Box::new(Npy::new(precision, columns)),
            #[cfg(feature = "parquet")]
            OutputKind::Parquet => Box::new(parquet::Parquet::new(precision)?),
            #[cfg(not(feature = "parquet"))]
            OutputKind::Parquet => Box::new(JsonVectors), // refused before
        };
        let (dimensions, normalize) = (self.dimensions, !self.no_normalize);
        Ok(EmbedSink { dimensions, normalize, precision, ranges, format, waiting: Vec::new() })
    }

    /// Options that change results.
    fn settings(&self, kind: OutputKind) -> String {
        let Args { dimensions, precision, no_normalize, ranges, .. } = self;
        let prompt = self.prompt();
        format!(
            "{kind:?}, dimensions {dimensions:?}, no-normalize {no_normalize}, precision {precision:?}, ranges {ranges:?}, {prompt:?}"
        )
    }
}
