//! `lacuna embed`: sentences in, embeddings out.

use clap::ValueEnum;
use lacuna::config::PoolingMode;
use lacuna::tasks::{EmbedRecord, EmbedTask};

use crate::npy;
use crate::packed::Opened;
use crate::task::{TaskArgs, write_rows};
use lacuna_console::context::{Context, pool};
use lacuna_console::error::{Error, Result};
use lacuna_console::output::Target;

/// Embed sentences, one per line
///
/// Reads the model, prunes it if --sparsity is given, calibrates the int8 quantisation, generates code, and writes one
/// embedding per input line. An empty line is an empty sentence. A sentence over the model's length limit is truncated,
/// with a warning on standard error.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  echo 'A cat sits.' | lacuna embed --model all-MiniLM-L6-v2
  lacuna embed --model all-MiniLM-L6-v2 --input sentences.txt --output embeddings.npy --format npy
  lacuna embed --model all-MiniLM-L6-v2 --sparsity 0.9 --input sentences.txt --verify --report
  echo '{\"id\":7,\"text\":\"A cat sits.\"}' | lacuna embed --from-hub sentence-transformers/all-MiniLM-L6-v2 --jsonl

Input of --jsonl: {\"text\":\"A cat sits.\"}; other fields are copied to the output.
Output, jsonl: one line {\"text\":\"A cat sits.\",\"embedding\":[0.01,...]} per sentence.
Output, npy: a little-endian f32 array of shape (sentences, features), for numpy.load.
An output file appears when it is complete, or not at all.")]
pub(crate) struct Args {
    #[command(flatten)]
    task: TaskArgs,

    /// Output format
    #[arg(long, value_enum, default_value = "jsonl")]
    format: Format,

    /// How token vectors become one; modules behind pooling stay [default: as in the model's files, else mean]
    #[arg(long, value_enum)]
    pooling: Option<PoolingArg>,

    /// Divide embeddings by their L2 norm [default: as in the model's files, else not]
    #[arg(long, overrides_with = "no_normalize")]
    normalize: bool,

    /// Do not normalise embeddings; overrides the model's files
    #[arg(long, overrides_with = "normalize")]
    no_normalize: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON object per line
    Jsonl,
    /// NumPy array
    Npy,
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
    sentences: usize,
    features: usize,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let target = args.task.target()?;
    if args.format == Format::Npy && target.is_terminal() {
        return Err(Error::Argument {
            option: "--format",
            found: "npy on a terminal".into(),
            expected: "--output FILE, or standard output to a file or pipe".into(),
        });
    }
    pool(context.threads())?.install(|| embed(args, context, &target))
}

fn embed(args: &Args, context: &Context, target: &Target) -> Result<()> {
    let task = &args.task;
    let records = |lines: Vec<String>| lines.into_iter().map(EmbedRecord::new).collect();
    let done = task.execute(context, &EmbedTask, |model| args.pooled(model), records)?;
    let rows = &done.output.rows;
    let (sentences, features) = (rows.len(), done.encoder.features());
    match args.format {
        Format::Jsonl => write_rows(target, rows)?,
        Format::Npy => target.write(|out| npy::write(out, rows, features))?,
    }
    task.say(context, done, About { sentences, features })
}

impl Args {
    /// The model with the pooling that the options say.
    fn pooled(&self, model: Opened) -> Result<Opened> {
        let normalize = if self.normalize || self.no_normalize { Some(self.normalize) } else { None };
        model.with_pooling(self.pooling.map(PoolingMode::from), normalize)
    }
}
