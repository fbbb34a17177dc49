//! `lacuna embed`: sentences in, embeddings out.

use std::io::{self, Write};

use clap::ValueEnum;
use lacuna::{CalibratedModel, Embeddings, ModelError, PoolingMode, TextInput};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::context::{Context, pool};
use crate::error::{Error, Result};
use crate::npy;
use crate::output::Target;
use crate::packed::Opened;
use crate::progress::Spinner;
use crate::stats::Cosines;
use crate::task::{Ready, Record, Summary, TaskArgs, cuts};

/// Embed sentences, one per line
///
/// Reads the model, prunes it if --sparsity is given, calibrates the int8 quantisation, generates code, and writes one
/// embedding per input line. An empty line is an empty sentence. A sentence over the model's length limit is cut, and
/// said so on standard error.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  echo 'A cat sits.' | lacuna embed --model all-MiniLM-L6-v2
  lacuna embed --model all-MiniLM-L6-v2 --input sentences.txt --output embeddings.npy --format npy
  lacuna embed --model all-MiniLM-L6-v2 --sparsity 0.9 --input sentences.txt --verify --report
  echo '{\"id\":7,\"text\":\"A cat sits.\"}' | lacuna embed --from-hub sentence-transformers/all-MiniLM-L6-v2 --jsonl

Input of --jsonl: {\"text\":\"A cat sits.\"}; whatever other fields there are go to the output as they stand.
Output, jsonl: one line {\"text\":\"A cat sits.\",\"embedding\":[0.01,...]} per sentence.
Output, npy: a little-endian f32 array of shape (sentences, features), for numpy.load.
An output file appears when it is complete, or not at all.")]
pub(crate) struct Args {
    #[command(flatten)]
    task: TaskArgs,

    /// Output format
    #[arg(long, value_enum, default_value = "jsonl")]
    format: Format,

    /// How token vectors become one [default: what the model's files say, else mean]
    #[arg(long, value_enum)]
    pooling: Option<PoolingArg>,

    /// Divide embeddings by their L2 norm [default: what the model's files say, else not]
    #[arg(long, overrides_with = "no_normalize")]
    normalize: bool,

    /// Leave embeddings as they are pooled, whatever the model's files say
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
}

impl From<PoolingArg> for PoolingMode {
    fn from(pooling: PoolingArg) -> PoolingMode {
        match pooling {
            PoolingArg::Mean => PoolingMode::Mean,
            PoolingArg::Cls => PoolingMode::Cls,
            PoolingArg::Max => PoolingMode::Max,
        }
    }
}

/// A line of the input.
struct Sentence {
    text: String,
    /// The JSON object that it is the `text` of, as it stands.
    object: Option<String>,
}

impl Record for Sentence {
    const EXPECTED: &'static str = r#"{"text": "..."}, with any other fields but "embedding""#;

    fn parse(line: &str) -> Result<Sentence, String> {
        #[derive(Deserialize)]
        struct Object {
            text: String,
            embedding: Option<IgnoredAny>,
        }
        let object = line.trim();
        // serde takes an array for a struct, too.
        if !object.starts_with('{') {
            return Err("no JSON object".into());
        }
        match serde_json::from_str::<Object>(object) {
            Err(error) => Err(error.to_string()),
            Ok(Object { embedding: Some(_), .. }) => Err("a field \"embedding\", which is the result's".into()),
            Ok(Object { text, .. }) => Ok(Sentence { text, object: Some(object.to_owned()) }),
        }
    }

    fn inputs(&self) -> Vec<TextInput<'_>> {
        vec![TextInput::new(&self.text)]
    }
}

impl AsRef<str> for Sentence {
    fn as_ref(&self) -> &str {
        &self.text
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
    // The model first: a wrong directory is refused before somebody types sentences into a terminal.
    let model = args.pooled(task.model.open()?);
    let sentences = task.records(|lines| lines.into_iter().map(|text| Sentence { text, object: None }).collect())?;
    let Ready { encoder, calibrated, calibration } = task.ready(model, &sentences, context)?;
    let embeddings = {
        let _spinner = Spinner::new(format!("embedding {} sentences", sentences.len()));
        encoder.embed(&sentences)?
    };
    let calibrated = calibrated.as_ref().filter(|_| task.verify);
    let verify = calibrated.map(|calibrated| verify(calibrated, &sentences, &embeddings)).transpose()?;
    let features = encoder.config().hidden_size;
    target.write(|out| match args.format {
        Format::Jsonl => write_jsonl(out, &sentences, &embeddings),
        Format::Npy => npy::write(out, &embeddings.vectors, features),
    })?;
    let summary = Summary {
        about: About { sentences: sentences.len(), features },
        tier: context.tier.name(),
        calibration,
        truncated: cuts("sentence", &embeddings.truncated),
        verify,
        report: task.report.then(|| encoder.report()),
    };
    summary.say(task.json);
    Ok(())
}

impl Args {
    /// The model with the pooling that the options say.
    fn pooled(&self, model: Opened) -> Opened {
        let normalize = if self.normalize || self.no_normalize { Some(self.normalize) } else { None };
        model.with_pooling(self.pooling.map(PoolingMode::from), normalize)
    }
}

fn write_jsonl(out: &mut dyn Write, sentences: &[Sentence], embeddings: &Embeddings) -> io::Result<()> {
    for (Sentence { text, object }, embedding) in sentences.iter().zip(embeddings.iter()) {
        match object.as_deref().and_then(|object| object.strip_suffix('}')) {
            Some(object) => write!(out, "{}", object.trim_end())?,
            None => {
                write!(out, "{{\"text\":")?;
                serde_json::to_writer(&mut *out, text)?;
            }
        }
        write!(out, ",\"embedding\":")?;
        serde_json::to_writer(&mut *out, embedding)?;
        writeln!(out, "}}")?;
    }
    Ok(())
}

/// Cosines between the embeddings and those of the f32 reference.
fn verify(calibrated: &CalibratedModel, sentences: &[Sentence], embeddings: &Embeddings) -> Result<Cosines> {
    let _spinner = Spinner::new("running the f32 reference");
    let model = calibrated.model();
    let tokenizer = model.tokenizer().ok_or(ModelError::NoTokenizer)?;
    let ids: Vec<Vec<u32>> = tokenizer.encode_batch(sentences)?.into_iter().map(|encoded| encoded.ids).collect();
    let reference = model.reference().embed(&ids, model.pooling())?;
    Ok(Cosines::between(embeddings, &reference))
}
