//! `lacuna inspect`: what a model directory holds, and what would be generated for it.

mod args;
mod head;
mod packed;

use std::fmt::Write as _;
use std::path::PathBuf;

use lacuna::config::{EncoderConfig, Prompt, Similarity};
use lacuna::report::LinearReport;
use lacuna::tokens::seeded_ids;
use lacuna::weights::{LinearZeros, TensorInfo};
use lacuna::{Form, Model, Precision};
use lacuna_console::context::{Context, pool};
use lacuna_console::error::Result;
use lacuna_console::output::{print, print_json};
use lacuna_console::progress::Spinner;
use lacuna_console::table::{Table, bytes, millions, percent, plural};
use serde::Serialize;

pub(crate) use self::args::Args;

use crate::model::{self, pooling_source};
use crate::packed::{embeddings, prompts};

#[derive(Serialize)]
struct Inspection {
    model: String,
    tier: &'static str,
    architecture: Architecture,
    pooling: Pooling,
    /// Names and texts.
    prompts: Vec<Prompt>,
    default_prompt: Option<String>,
    head: Option<head::Head>,
    /// Why there is no head: the model has none, or something is wrong with it.
    no_head: Option<String>,
    /// Longest sequence in tokens, special tokens included; none without a tokenizer.
    tokenizer_limit: Option<usize>,
    /// The weight file or graph, or the index and its files.
    weights: Vec<String>,
    tensors: Vec<Tensor>,
    parameters: usize,
    linears: Vec<Linear>,
    /// The linear layer between embeddings and layers, in models that have one.
    projection: Option<LinearReport>,
    kernels: usize,
    code_bytes: usize,
    packed_weight_bytes: usize,
    /// What was assumed, and what is easily missed.
    remarks: Vec<String>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Architecture {
    /// BERT, DistilBERT, RoBERTa, ...
    name: &'static str,
    layers: usize,
    hidden_size: usize,
    heads: usize,
    /// Features of a head.
    head_size: usize,
    intermediate_size: usize,
    /// Features of the embedding tables.
    embedding_size: usize,
    vocab_size: usize,
    max_position: usize,
    token_types: usize,
    activation: &'static str,
    /// Whether the checkpoint has one; embeddings do not use it.
    pooler: bool,
}

#[derive(Serialize)]
struct Pooling {
    mode: String,
    normalize: bool,
    /// Features of an embedding.
    features: usize,
    /// How embeddings are meant to be compared; none where the model's files do not say so.
    similarity: Option<&'static str>,
    source: String,
    /// Pooling and what follows it, in words.
    #[serde(skip)]
    described: String,
}

#[derive(Serialize)]
struct Tensor {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    bytes: usize,
}

/// One linear layer: the zeros of its f32 weights, and the kernel for its int8 weights.
#[derive(Serialize)]
struct Linear {
    layer: usize,
    name: &'static str,
    m: usize,
    k: usize,
    zeros_unstructured: f64,
    zeros_4x1: f64,
    zeros_1x4: f64,
    zeros_4x4: f64,
    form: &'static str,
    precision: Precision,
    density: f64,
    fill_ratio: f64,
    kernel: String,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    if let Some(model) = pool(context.threads())?.install(|| args.model.open_packed())? {
        return packed::inspect(args, &model, context);
    }
    let inspection = pool(context.threads())?.install(|| inspect(args, context))?;
    match args.json {
        true => print_json(&inspection),
        false => print(inspection.text()),
    }
}

/// Sequences of made-up token ids to calibrate on: forms and kernels do not depend on them.
const CALIBRATION: (usize, usize) = (4, 32);

fn inspect(args: &Args, context: &Context) -> Result<Inspection> {
    let model = args.model.pruning.apply(args.model.read()?)?;
    let (files, tensors) = model.weight_files()?;
    let (config, pooler) = (model.config().clone(), model.weights().pooler.is_some());
    let (pooling, tokenizer_limit) = (model.pooling().clone(), model.tokenizer().map(|t| t.max_length()));
    let (prompts, similarity) = (model.prompts().clone(), model.similarity().map(Similarity::name));
    let mut remarks: Vec<String> = model.remarks().iter().map(ToString::to_string).collect();
    let zeros = counted(&model);
    let (head, no_head) = head::of(&model);
    remarks.extend(head.iter().flat_map(|head| head.remarks.clone()));
    let (encoder, made_up) = {
        let (count, length) = CALIBRATION;
        let ids = seeded_ids(config.vocab_size, count, length.min(config.max_position), 0);
        let calibrated = model.calibration().run_ids(&ids)?;
        // Not what the model is used with: nothing of it is said.
        let made_up = format!("calibrated on {}", calibrated.basis());
        (model::compile(&calibrated, Form::from(args.form), context)?, made_up)
    };
    let report = encoder.report();
    Ok(Inspection {
        model: args.model.source.name(),
        tier: context.tier.name(),
        architecture: Architecture::of(&config, pooler),
        pooling: Pooling {
            mode: pooling.mode_names(),
            normalize: pooling.is_normalized(),
            features: pooling.features(config.hidden_size),
            similarity,
            source: pooling_source(&pooling.source),
            described: pooling.describe(),
        },
        prompts: prompts.list,
        default_prompt: prompts.default,
        head,
        no_head,
        tokenizer_limit,
        weights: names(&files),
        parameters: tensors.iter().map(|t| t.shape.iter().product::<usize>()).sum(),
        tensors: tensors.into_iter().map(Tensor::from).collect(),
        linears: zeros.iter().zip(&report.linears).map(|(zeros, linear)| Linear::new(zeros, linear)).collect(),
        projection: report.projection.clone(),
        kernels: report.kernels_generated,
        code_bytes: report.code_bytes,
        packed_weight_bytes: report.weight_bytes,
        remarks,
        notes: report.notes.iter().filter(|note| **note != made_up).cloned().collect(),
    })
}

fn names(files: &[PathBuf]) -> Vec<String> {
    files.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned()).collect()
}

fn counted(model: &Model) -> Vec<LinearZeros> {
    let _spinner = Spinner::new("counting zeros");
    model.zeros()
}

impl Architecture {
    fn of(config: &EncoderConfig, pooler: bool) -> Architecture {
        Architecture {
            name: config.architecture.name(),
            layers: config.layers,
            hidden_size: config.hidden_size,
            heads: config.heads,
            head_size: config.head_size(),
            intermediate_size: config.intermediate_size,
            embedding_size: config.embedding_features(),
            vocab_size: config.vocab_size,
            max_position: config.max_position,
            token_types: config.type_vocab_size,
            activation: config.activation.name(),
            pooler,
        }
    }
}

impl From<TensorInfo> for Tensor {
    fn from(tensor: TensorInfo) -> Tensor {
        let TensorInfo { name, dtype, shape, bytes, .. } = tensor;
        Tensor { name, dtype, shape, bytes }
    }
}

impl Linear {
    fn new(zeros: &LinearZeros, report: &LinearReport) -> Linear {
        Linear {
            layer: zeros.layer,
            name: zeros.name,
            m: zeros.m,
            k: zeros.k,
            zeros_unstructured: zeros.zeros.unstructured.fraction(),
            zeros_4x1: zeros.zeros.b4x1.fraction(),
            zeros_1x4: zeros.zeros.b1x4.fraction(),
            zeros_4x4: zeros.zeros.b4x4.fraction(),
            form: report.form,
            precision: report.precision,
            density: report.density,
            fill_ratio: report.fill_ratio,
            kernel: report.kernel.clone(),
        }
    }
}

impl Inspection {
    fn text(&self) -> String {
        let mut text = String::new();
        let Architecture {
            name,
            layers,
            hidden_size,
            heads,
            head_size,
            intermediate_size,
            embedding_size,
            vocab_size,
            max_position,
            token_types,
            activation,
            pooler,
        } = self.architecture;
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<13} {value}");
        };
        line("model", self.model.clone());
        line(
            "architecture",
            format!(
                "{name}, {}, {}, {}, {intermediate_size} between, {activation}",
                plural(layers, "layer"),
                plural(hidden_size, "feature"),
                match heads * head_size == hidden_size {
                    true => plural(heads, "head"),
                    false => format!("{} of {head_size}", plural(heads, "head")),
                }
            ),
        );
        let (tokens, positions) = (plural(vocab_size, "token"), plural(max_position, "position"));
        line("vocabulary", format!("{tokens}, {positions}, {}", plural(token_types, "token type")));
        if let Some(LinearReport { form, kernel, .. }) = &self.projection {
            line(
                "projection",
                format!("embeddings of {} to {hidden_size}, {form}, {kernel}", plural(embedding_size, "feature")),
            );
        }
        if pooler {
            line("pooler", "present; embeddings of sentences do not use it".into());
        }
        match (&self.head, &self.no_head) {
            (Some(head), _) => line("head", head.text()),
            (None, why) => line("head", why.clone().unwrap_or_default()),
        }
        line("pooling", format!("{} ({})", self.pooling.described, self.pooling.source));
        line("embeddings", embeddings(self.pooling.features, self.pooling.similarity));
        if !self.prompts.is_empty() {
            line("prompts", prompts(&self.prompts, self.default_prompt.as_deref()));
        }
        line(
            "tokenizer",
            self.tokenizer_limit
                .map_or_else(|| "none".into(), |limit| format!("sentences of up to {}", plural(limit, "token"))),
        );
        line("weights", self.weights.join(", "));
        let parameters = millions(self.parameters, "parameter");
        line("parameters", format!("{parameters} in {}", plural(self.tensors.len(), "tensor")));
        line(
            "generated",
            format!(
                "{} for {}, {} of code, {} of packed weights",
                plural(self.kernels, "kernel"),
                self.tier,
                bytes(self.code_bytes),
                bytes(self.packed_weight_bytes)
            ),
        );
        self.remarks.iter().for_each(|remark| line("remark", remark.clone()));
        self.notes.iter().for_each(|note| line("note", note.clone()));
        format!("{text}\n{}\n{}", self.tensor_table(), self.linear_table())
    }

    fn tensor_table(&self) -> Table {
        let mut table = Table::new(&["<tensor", "<dtype", "shape", "size"]);
        for tensor in &self.tensors {
            let shape: Vec<String> = tensor.shape.iter().map(usize::to_string).collect();
            table.row([tensor.name.clone(), tensor.dtype.clone(), shape.join(" x "), bytes(tensor.bytes)]);
        }
        table
    }

    fn linear_table(&self) -> Table {
        let mut table = Table::new(&[
            "<linear",
            "M",
            "K",
            "zeros",
            "4x1",
            "1x4",
            "4x4",
            "density",
            "fill",
            "<form",
            "<precision",
            "<kernel",
        ]);
        for l in &self.linears {
            let zeros = [l.zeros_unstructured, l.zeros_4x1, l.zeros_1x4, l.zeros_4x4, l.density, l.fill_ratio];
            let mut cells = vec![format!("{}.{}", l.layer, l.name), l.m.to_string(), l.k.to_string()];
            cells.extend(zeros.map(|fraction| percent(Some(fraction))));
            cells.extend([l.form.to_owned(), l.precision.to_string(), l.kernel.clone()]);
            table.row(cells);
        }
        table
    }
}
