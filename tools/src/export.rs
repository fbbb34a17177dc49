//! `lacuna export`: models as files for other runtimes.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use lacuna::calibration::{CalibrationBasis, CalibrationOptions, CalibrationTexts};
use lacuna::config::EncoderConfig;
use lacuna::onnx::{OnnxModel, OnnxSummary};
use lacuna::tasks::ClassifyRecord;
use lacuna::tokens::seeded_ids;
use lacuna::{CalibratedModel, Model, Preset};
use lacuna_console::args;
use lacuna_console::context::{Context, pool};
use lacuna_console::error::{Error, Result};
use lacuna_console::output::{Target, say, write_json};
use lacuna_console::progress::Spinner;
use lacuna_console::sentences::CALIBRATION_SENTENCES;
use lacuna_console::source::{SourceArgs, exactly_one};
use lacuna_console::table::{bytes, millions, percent, plural};
use serde::Serialize;

use crate::calibration::texts_of;
use crate::model::PruneArgs;

/// Write a model as a file for other runtimes
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lacuna export onnx --model all-MiniLM-L6-v2 minilm.onnx
  lacuna export onnx --model all-MiniLM-L6-v2 --int8 qdq --calibrate sentences.txt minilm.int8.onnx")]
pub(crate) struct Args {
    #[command(subcommand)]
    format: Format,
}

#[derive(Subcommand)]
enum Format {
    Onnx(OnnxArgs),
}

/// ONNX, for ONNX Runtime, rten and others; f32 or int8
///
/// Reads the model as `embed` does, prunes it if --sparsity is given, and writes one self-contained graph of ONNX's own operators
/// (opset 17). Weights that are zero stay zero.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lacuna export onnx --model all-MiniLM-L6-v2 minilm.onnx
  lacuna export onnx --model all-MiniLM-L6-v2 --int8 dynamic minilm.int8.onnx
  lacuna export onnx --model all-MiniLM-L6-v2 --sparsity 0.9 --int8 qdq --calibrate sentences.txt pruned.onnx
  lacuna export onnx --arch bert-base --int8 qdq --json base.onnx

Inputs: input_ids, attention_mask (1 for tokens, 0 for padding, padding on the right), and token_type_ids if the model has more
than one token type; s64, [batch, sequence], both sizes free. Outputs: last_hidden_state [batch, sequence, hidden]; sentence_embedding [batch, hidden], pooled and normalised
as the model's files say.

--int8 dynamic: activations find their range while the model runs. --int8 qdq: static ranges, from calibration; ONNX has one
scale per tensor where Lacuna has one per feature, so this int8 is less accurate than Lacuna's own. Both keep weights as s8 with
a scale per output feature, and everything between linear layers in f32.

Architectures for --arch: bert-mini, minilm, distilbert, bert-base, bert-large, with random weights, those of `bench model`, and a
small vocabulary.

The file appears when it is complete, or not at all. What is said about it goes to standard error.")]
#[command(group(exactly_one(&["arch"])))]
pub(crate) struct OnnxArgs {
    #[command(flatten)]
    source: SourceArgs,

    /// Shape of a model with random weights
    #[arg(long, visible_alias = "preset")]
    arch: Option<Preset>,

    /// Seed of random weights
    #[arg(long, default_value_t = 1, conflicts_with_all = ["model", "from_hub"])]
    seed: u64,

    #[command(flatten)]
    pruning: PruneArgs,

    /// Quantise linear layers to int8 [default: f32]
    #[arg(long, value_enum)]
    int8: Option<Int8>,

    /// Calibration texts of --int8 qdq: a text file, one per line; a .csv or .tsv with a column named "text", else its first; or a .jsonl of objects
    /// with "text" and "pair" [default: random tokens with --arch, else lacuna-calibration.jsonl in the model's folder, else a built-in collection]
    #[arg(long, value_name = "FILE", conflicts_with = "arch")]
    calibrate: Option<PathBuf>,

    /// How many of the calibration texts to use, spread evenly over all of them
    #[arg(long, value_name = "N", default_value_t = CALIBRATION_SENTENCES, value_parser = args::at_least_one)]
    sentences: usize,

    /// Say what was written as one JSON object
    #[arg(long)]
    json: bool,

    /// The file to write; - is standard output
    #[arg(value_name = "OUT")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Int8 {
    /// Static: QuantizeLinear and DequantizeLinear around every linear layer
    Qdq,
    /// Dynamic: DynamicQuantizeLinear and MatMulInteger
    Dynamic,
}

/// Vocabulary of models with random weights.
const VOCAB_SIZE: usize = 2000;
/// Sequences of random tokens to calibrate those on, and their longest length.
const CALIBRATION: (usize, usize) = (4, 128);

/// What is said about a file.
#[derive(Serialize)]
struct Report {
    model: String,
    file: String,
    arithmetic: &'static str,
    sparsity: Option<f64>,
    /// A file, or "random tokens"; none where nothing is calibrated.
    calibration: Option<String>,
    bytes: usize,
    ir_version: i64,
    opset: i64,
    nodes: usize,
    initializers: usize,
    linear_weights: usize,
    linear_zeros: usize,
    /// What the graph does not have, what was assumed, and what pruning did.
    remarks: Vec<String>,
}

/// A graph, and what is said about it.
struct Exported {
    onnx: OnnxModel,
    /// What it was calibrated on.
    calibration: Option<String>,
    /// What the weights were pruned to, if they were.
    sparsity: Option<f64>,
    remarks: Vec<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    match &args.format {
        Format::Onnx(args) => onnx(args, context),
    }
}

fn onnx(args: &OnnxArgs, context: &Context) -> Result<()> {
    let target = Target::new(Some(&args.out))?;
    if target.is_terminal() {
        return Err(Error::Argument {
            option: "OUT",
            found: "- on a terminal".into(),
            expected: "a file, or standard output to a file or pipe".into(),
        });
    }
    args.check()?;
    let exported = pool(context.threads())?.install(|| args.export())?;
    {
        let _spinner = Spinner::new(format!("writing {}", args.out.display()));
        target.write(|out| exported.onnx.write_to(out))?;
    }
    let report = args.report(exported);
    match args.json {
        // Results matter more than what is said about them: a closed standard error is no failure.
        true => {
            let _ = write_json(&mut std::io::stderr().lock(), &report);
        }
        false => {
            say(report.text());
            report.remarks.iter().for_each(say);
        }
    }
    Ok(())
}

impl OnnxArgs {
    /// What only the options together tell.
    fn check(&self) -> Result<()> {
        self.source.refuse_packed("lacuna export", "export the folder")?;
        match (self.int8, &self.calibrate) {
            (None | Some(Int8::Dynamic), Some(path)) => Err(Error::Argument {
                option: "--calibrate",
                found: path.display().to_string(),
                expected: "--int8 qdq with it: only that form is calibrated".into(),
            }),
            _ => Ok(()),
        }
    }

    fn export(&self) -> Result<Exported> {
        // A wrong calibration file is refused before a large model is read.
        let texts = self.calibrate.as_deref().map(texts_of::<ClassifyRecord>).transpose()?;
        let pruned = self.pruning.prune(self.read()?)?;
        let mut remarks = left_out(&pruned.model);
        if self.arch.is_none() {
            remarks.extend(pruned.warning().map(str::to_owned).or(pruned.remark()));
        }
        let model = pruned.model;
        let sparsity = model.pruning().map(|pruning| pruning.sparsity);
        let exporting = || Spinner::new("exporting");
        let (onnx, calibration) = match self.int8 {
            None => {
                let _spinner = exporting();
                (model.to_onnx()?, None)
            }
            Some(Int8::Dynamic) => {
                let _spinner = exporting();
                (model.to_onnx_dynamic()?, None)
            }
            Some(Int8::Qdq) => {
                let calibrated = self.calibrated(model, texts.as_ref())?;
                let _spinner = exporting();
                (calibrated.to_onnx_qdq()?, Some(self.basis(calibrated.basis())))
            }
        };
        Ok(Exported { onnx, calibration, sparsity, remarks })
    }

    fn read(&self) -> Result<Model> {
        let folder = self.source.folder()?;
        let _spinner = Spinner::new(format!("reading {}", self.name()));
        match (folder, self.arch) {
            (Some(folder), _) => Ok(Model::open(folder)?),
            (None, arch) => Ok(Model::seeded(
                EncoderConfig { vocab_size: VOCAB_SIZE, ..arch.unwrap_or(Preset::MiniLm).config() },
                self.seed,
            )?),
        }
    }

    fn calibrated(&self, model: Model, texts: Option<&CalibrationTexts>) -> Result<CalibratedModel> {
        let options = CalibrationOptions::per_tensor();
        let _spinner = Spinner::new("calibrating");
        match (texts, self.arch) {
            (Some(texts), _) => Ok(model.calibration().options(options).at_most(self.sentences).run(texts.inputs())?),
            (None, None) => Ok(model.calibration().options(options).at_most(self.sentences).run_default()?),
            (None, Some(_)) => {
                let (count, length) = CALIBRATION;
                let (vocab_size, limit) = (model.config().vocab_size, model.config().max_position);
                let ids = seeded_ids(vocab_size, count, length.min(limit), self.seed.wrapping_add(1));
                Ok(model.calibration().options(options).run_ids(&ids)?)
            }
        }
    }

    /// What a model was calibrated on.
    fn basis(&self, basis: &CalibrationBasis) -> String {
        match (&self.calibrate, self.arch) {
            (Some(path), _) => path.display().to_string(),
            (None, Some(_)) => "random tokens".into(),
            (None, None) => basis.to_string(),
        }
    }

    fn name(&self) -> String {
        self.arch.map_or_else(|| self.source.name(), |arch| arch.to_string())
    }

    fn report(&self, exported: Exported) -> Report {
        let Exported { onnx, calibration, sparsity, remarks } = exported;
        let summary: OnnxSummary = onnx.summary();
        Report {
            model: self.name(),
            file: self.out.display().to_string(),
            arithmetic: match self.int8 {
                None => "f32",
                Some(Int8::Qdq) => "int8, static",
                Some(Int8::Dynamic) => "int8, dynamic",
            },
            sparsity,
            calibration,
            bytes: summary.bytes,
            ir_version: summary.ir_version,
            opset: summary.opset,
            nodes: summary.nodes,
            initializers: summary.initializers,
            linear_weights: summary.weights,
            linear_zeros: summary.zeros,
            remarks,
        }
    }
}

/// What a graph does not have of a model, and what was assumed for it.
fn left_out(model: &Model) -> Vec<String> {
    let head = model.head().ok().map(|head| {
        let class = head.class();
        format!("head: {class} is left out: the graph gives hidden states and embeddings")
    });
    let prompt = model
        .prompts()
        .default_text()
        .map(|text| format!("prompt: {text:?} is not in the graph: put it before every text (default_prompt_name)"));
    let pooling = model.pooling().remark().map(|remark| remark.text);
    head.into_iter().chain(pooling).chain(prompt).collect()
}

impl Report {
    fn text(&self) -> String {
        let calibration =
            self.calibration.as_ref().map_or_else(String::new, |source| format!(", calibrated on {source}"));
        let zeros = self.linear_zeros as f64 / self.linear_weights.max(1) as f64;
        format!(
            "{}: {}, {}, {}, opset {}, IR {}; {}{calibration}; {} of {} are zero",
            self.file,
            bytes(self.bytes),
            plural(self.nodes, "node"),
            plural(self.initializers, "initialiser"),
            self.opset,
            self.ir_version,
            self.arithmetic,
            percent(Some(zeros)),
            millions(self.linear_weights, "linear weight")
        )
    }
}
