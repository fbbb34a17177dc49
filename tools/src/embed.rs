//! `lacuna embed`: sentences in, embeddings out.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::ValueEnum;
use lacuna::{CalibratedModel, Embeddings, Error as LibraryError, LoadReport};
use serde::Serialize;

use crate::context::{Context, pool};
use crate::error::{Error, Result};
use crate::model::{self, CALIBRATION_SENTENCES, FormArg, ModelArgs, TuneArgs};
use crate::output::{Target, say, write_json};
use crate::progress::Spinner;
use crate::stats::Cosines;
use crate::{npy, text};

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

Output, jsonl: one line {\"text\":\"A cat sits.\",\"embedding\":[0.01,...]} per sentence.
Output, npy: a little-endian f32 array of shape (sentences, features), for numpy.load.
An output file appears when it is complete, or not at all.")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// Sentences, one per line, UTF-8; - is standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    input: PathBuf,

    /// Where the embeddings go; - is standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Output format
    #[arg(long, value_enum, default_value = "jsonl")]
    format: Format,

    /// Calibration sentences: a text file, one per line, or the first column of a .csv [default: the first 200 input
    /// sentences]
    #[arg(long, value_name = "FILE")]
    calibrate: Option<PathBuf>,

    /// Which kernels run the linear layers
    #[arg(long, value_enum, default_value = "auto")]
    form: FormArg,

    #[command(flatten)]
    tuning: TuneArgs,

    /// Also run the f32 reference and print the cosine between the two
    #[arg(long)]
    verify: bool,

    /// Print how the model was loaded: times, kernels, densities, forms
    #[arg(long)]
    report: bool,

    /// Say all of that as one JSON object on standard error
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON object per line
    Jsonl,
    /// NumPy array
    Npy,
}

/// What is said about a run, apart from its result.
#[derive(Serialize)]
struct Summary<'a> {
    sentences: usize,
    features: usize,
    tier: &'static str,
    calibration: Calibration,
    truncated: Vec<Truncated>,
    verify: Option<Cosines>,
    report: Option<&'a LoadReport>,
}

#[derive(Serialize)]
struct Calibration {
    /// A file, or "input".
    source: String,
    sentences: usize,
}

#[derive(Serialize)]
struct Truncated {
    sentence: usize,
    tokens: usize,
    limit: usize,
}

/// One row of jsonl output.
#[derive(Serialize)]
struct Row<'a> {
    text: &'a str,
    embedding: &'a [f32],
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let target = Target::new(args.output.as_deref())?;
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
    // The model first: a wrong directory is refused before somebody types sentences into a terminal.
    let model = args.model.read()?;
    let sentences = text::read_lines(&args.input)?;
    if sentences.is_empty() {
        return Err(LibraryError::EmptyBatch.into());
    }
    let model = args.model.pruning.apply(model)?;
    let (calibration, own) = match &args.calibrate {
        Some(path) => (model::calibration_file(path, usize::MAX)?, false),
        None => (sentences[..sentences.len().min(CALIBRATION_SENTENCES)].to_vec(), true),
    };
    let calibrated = model::calibrate(model, &calibration)?;
    let encoder = args.tuning.compile(&calibrated, args.form.into(), context)?;
    let embeddings = {
        let _spinner = Spinner::new(format!("embedding {} sentences", sentences.len()));
        encoder.embed(&sentences)?
    };
    let verify = args.verify.then(|| verify(&calibrated, &sentences, &embeddings)).transpose()?;
    let summary = Summary {
        sentences: sentences.len(),
        features: encoder.config().hidden_size,
        tier: context.tier.name(),
        calibration: Calibration {
            source: match &args.calibrate {
                Some(path) => path.display().to_string(),
                None => "input".into(),
            },
            sentences: calibration.len(),
        },
        truncated: embeddings
            .truncated
            .iter()
            .map(|t| Truncated { sentence: t.sentence, tokens: t.tokens, limit: t.limit })
            .collect(),
        verify,
        report: args.report.then(|| encoder.report()),
    };
    target.write(|out| match args.format {
        Format::Jsonl => write_jsonl(out, &sentences, &embeddings),
        Format::Npy => npy::write(out, &embeddings.vectors, summary.features),
    })?;
    match args.json {
        true => {
            let _ = write_json(&mut io::stderr().lock(), &summary);
        }
        false => remark(&summary, own),
    }
    Ok(())
}

fn write_jsonl(out: &mut dyn Write, sentences: &[String], embeddings: &Embeddings) -> io::Result<()> {
    for (text, embedding) in sentences.iter().zip(embeddings.iter()) {
        serde_json::to_writer(&mut *out, &Row { text, embedding })?;
        writeln!(out)?;
    }
    Ok(())
}

/// Cosines between the embeddings and those of the f32 reference.
fn verify(calibrated: &CalibratedModel, sentences: &[String], embeddings: &Embeddings) -> Result<Cosines> {
    let _spinner = Spinner::new("running the f32 reference");
    let model = calibrated.model();
    let tokenizer = model.tokenizer().ok_or(LibraryError::NoTokenizer)?;
    let ids: Vec<Vec<u32>> = tokenizer.encode_batch(sentences)?.into_iter().map(|encoded| encoded.ids).collect();
    let reference = model.oracle().embed(&ids, model.pooling())?;
    Ok(Cosines::between(embeddings, &reference))
}

/// The summary in words.
fn remark(summary: &Summary<'_>, own: bool) {
    if own {
        let count = summary.calibration.sentences;
        say(format_args!(
            "calibrated on the first {count} input sentences; --calibrate FILE takes others (about 200 are enough)"
        ));
    }
    for cut in &summary.truncated {
        say(format_args!(
            "sentence {}: {} tokens, the model takes {}: the rest was cut",
            cut.sentence, cut.tokens, cut.limit
        ));
    }
    if let Some(cosines) = &summary.verify {
        say(format_args!(
            "cosine to the f32 reference: mean {:.5}, least {:.5} over {} sentences",
            cosines.mean, cosines.min, summary.sentences
        ));
    }
    if let Some(report) = summary.report {
        say(report.to_string().trim_end());
    }
}
