//! Packed files in place of model directories: opening either, and what is in a file.

use std::fmt;
use std::path::PathBuf;

use lacuna::calibration::ActivationBits;
use lacuna::config::{PoolingMode, Prompt, Prompts, Remark, Similarity};
use lacuna::heads::Head;
use lacuna::tokens::SentenceTokenizer;
use lacuna::weights::Pruning;
use lacuna::{Error as LibraryError, Model, PackedModel};
use lacuna_console::error::{Error, Result};
use lacuna_console::progress::Spinner;
use lacuna_console::table::{Table, bytes, plural};
use serde::Serialize;

use crate::model::ModelArgs;
pub(crate) use crate::model::decided;
use crate::shipped;

/// A model as it was given.
pub(crate) enum Opened {
    /// A directory, in f32.
    Directory(Box<Model>),
    /// A file of `lacuna pack`.
    Packed(Box<PackedModel>),
}

impl Opened {
    /// The head.
    pub(crate) fn head(&self) -> Result<Head> {
        match self {
            Opened::Directory(model) => Ok(model.head()?),
            Opened::Packed(model) => Ok(model.head()?),
        }
    }

    /// With another pooling than the model's own, if one is asked for.
    pub(crate) fn with_pooling(self, mode: Option<PoolingMode>, normalize: Option<bool>) -> Result<Opened> {
        if mode.is_none() && normalize.is_none() {
            return Ok(self);
        }
        let own = match &self {
            Opened::Directory(model) => model.pooling(),
            Opened::Packed(model) => model.pooling(),
        };
        let changed = own.changed(mode, normalize);
        Ok(match self {
            Opened::Directory(model) => Opened::Directory(model.with_pooling(changed)?.into()),
            Opened::Packed(model) => Opened::Packed(model.with_pooling(changed)?.into()),
        })
    }

    /// The tokenizer.
    pub(crate) fn tokenizer(&self) -> Option<&SentenceTokenizer> {
        match self {
            Opened::Directory(model) => model.tokenizer(),
            Opened::Packed(model) => model.tokenizer(),
        }
    }

    /// The prompts.
    pub(crate) fn prompts(&self) -> &Prompts {
        match self {
            Opened::Directory(model) => model.prompts(),
            Opened::Packed(model) => model.prompts(),
        }
    }

    /// The default prompt.
    pub(crate) fn default_prompt(&self) -> Option<&str> {
        self.prompts().default_text()
    }

    /// What users should know about the settings.
    pub(crate) fn remarks(&self) -> Vec<Remark> {
        match self {
            Opened::Directory(model) => model.remarks(),
            Opened::Packed(model) => model.remarks(),
        }
    }
}

impl ModelArgs {
    /// Reads a directory, without pruning it, or opens a packed file.
    pub(crate) fn open(&self) -> Result<Opened> {
        match self.open_packed()? {
            Some(model) => Ok(Opened::Packed(model.into())),
            None => Ok(Opened::Directory(self.read()?.into())),
        }
    }

    /// Opens the packed file, if `--model` is one, or the shipped model, if no other is named.
    pub(crate) fn open_packed(&self) -> Result<Option<PackedModel>> {
        let model = match self.source.packed_path()? {
            Some(path) => open(path)?,
            None if self.source.is_given() => return Ok(None),
            None => {
                self.source.folder()?; // refuses what says more of a model that is not named
                shipped::open_by_default()?
            }
        };
        match self.pruning.sparsity {
            None => Ok(Some(model)),
            Some(_) => Err(needs_weights(&model, "--sparsity", "prune with lacuna pack --sparsity")),
        }
    }
}

/// Opens a packed file.
pub(crate) fn open(path: PathBuf) -> Result<PackedModel> {
    let _spinner = Spinner::new(format!("opening {}", path.display()));
    Ok(PackedModel::open(path)?)
}

/// The refusal of an option that a packed model has no weights for.
pub(crate) fn needs_weights(model: &PackedModel, option: &str, remedy: &'static str) -> Error {
    LibraryError::from(model.needs_weights(option, remedy)).into()
}

/// What embeddings are, in words.
pub(crate) fn embeddings(features: usize, similarity: Option<&str>) -> String {
    let compared = similarity.map_or_else(String::new, |name| format!(", to be compared by {name}"));
    format!("{}{compared}", plural(features, "feature"))
}

/// The prompts of a model, in words.
pub(crate) fn prompts(list: &[Prompt], default: Option<&str>) -> String {
    let prompt = |prompt: &Prompt| {
        let mark = if Some(&prompt.name[..]) == default { " (default)" } else { "" };
        format!("{} {:?}{mark}", prompt.name, prompt.text)
    };
    list.iter().map(prompt).collect::<Vec<_>>().join(", ")
}

/// What a packed file holds.
#[derive(Serialize)]
pub(crate) struct Contents {
    file: String,
    bytes: usize,
    architecture: String,
    layers: usize,
    hidden_size: usize,
    vocab_size: usize,
    pooling: String,
    normalize: bool,
    /// Features of an embedding.
    features: usize,
    /// How embeddings are meant to be compared; none where the model's files do not say so.
    similarity: Option<&'static str>,
    /// Names and texts.
    prompts: Vec<Prompt>,
    default_prompt: Option<String>,
    /// What was assumed, and what is easily missed.
    remarks: Vec<String>,
    /// Pooling and what follows it, in words.
    #[serde(skip)]
    modules: String,
    /// The class of the head; none without.
    head: Option<String>,
    /// Longest sequence in tokens; none without a tokenizer.
    tokenizer_limit: Option<usize>,
    pruning: Option<Pruning>,
    /// Bits of the codes that linear layers read.
    activation_bits: ActivationBits,
    sections: Vec<Section>,
}

#[derive(Serialize)]
struct Section {
    name: String,
    /// As stored.
    bytes: u64,
    /// When inflated, of a section that is stored deflated.
    inflated: Option<u64>,
}

impl Contents {
    pub(crate) fn of(model: &PackedModel) -> Contents {
        let (config, pooling) = (model.config(), model.pooling());
        Contents {
            file: model.path().map_or_else(String::new, |path| path.display().to_string()),
            bytes: model.file_bytes(),
            architecture: config.architecture.to_string(),
            layers: config.layers,
            hidden_size: config.hidden_size,
            vocab_size: config.vocab_size,
            pooling: pooling.mode_names(),
            normalize: pooling.is_normalized(),
            features: pooling.features(config.hidden_size),
            similarity: model.similarity().map(Similarity::name),
            prompts: model.prompts().list.clone(),
            default_prompt: model.prompts().default.clone(),
            remarks: model.remarks().iter().map(ToString::to_string).collect(),
            modules: pooling.describe(),
            head: model.head_class().map(str::to_owned),
            tokenizer_limit: model.tokenizer().map(lacuna::tokens::SentenceTokenizer::max_length),
            pruning: model.pruning(),
            activation_bits: model.activation_bits(),
            sections: model
                .sections()
                .iter()
                .map(|section| Section {
                    name: section.name.clone(),
                    bytes: section.length,
                    inflated: section.inflated,
                })
                .collect(),
        }
    }

    /// Every section with its size.
    pub(crate) fn section_table(&self) -> Table {
        let mut table = Table::new(&["<section", "size", "when inflated"]);
        for section in &self.sections {
            let inflated = section.inflated.map_or_else(String::new, |inflated| bytes(inflated as usize));
            table.row([section.name.clone(), bytes(section.bytes as usize), inflated]);
        }
        table
    }

    /// Bytes by what they are for.
    fn kinds(&self) -> Vec<(&'static str, u64)> {
        const KINDS: [&str; 5] = ["tokenizer", "head", "embedding tables", "weights", "parameters"];
        let kind = |name: &str| match name.rsplit('.').next() {
            _ if name.starts_with("tokenizer") => 0,
            _ if name.starts_with("head.") => 1,
            Some("word" | "position" | "token_type" | "codes" | "scales") => 2,
            Some("indices" | "weights" | "rows" | "stream") => 3,
            _ => 4,
        };
        let mut sums = [0; KINDS.len()];
        self.sections.iter().for_each(|section| sums[kind(&section.name)] += section.bytes);
        let rest = self.bytes as u64 - sums.iter().sum::<u64>();
        let all = KINDS.into_iter().zip(sums).chain([("manifest, checksums, padding", rest)]);
        all.filter(|(_, bytes)| *bytes > 0).collect()
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: String| writeln!(f, "{name:<13} {value}");
        line("packed model", format!("{}, {}", self.file, bytes(self.bytes)))?;
        line(
            "architecture",
            format!(
                "{}, {}, {}, {} in the vocabulary",
                self.architecture,
                plural(self.layers, "layer"),
                plural(self.hidden_size, "feature"),
                plural(self.vocab_size, "token")
            ),
        )?;
        if let Some(pruning) = &self.pruning {
            line("pruned", format!("{:.0} % of {} blocks", pruning.sparsity * 1e2, pruning.block))?;
        }
        if self.activation_bits != ActivationBits::default() {
            line("activations", format!("codes of {} bits", self.activation_bits))?;
        }
        line("pooling", self.modules.clone())?;
        line("embeddings", embeddings(self.features, self.similarity))?;
        if !self.prompts.is_empty() {
            line("prompts", prompts(&self.prompts, self.default_prompt.as_deref()))?;
        }
        self.remarks.iter().try_for_each(|remark| line("remark", remark.clone()))?;
        line("head", self.head.clone().unwrap_or_else(|| "none".into()))?;
        let limit = |limit| format!("texts of up to {}", plural(limit, "token"));
        line("tokenizer", self.tokenizer_limit.map_or_else(|| "none".into(), limit))?;
        self.kinds().into_iter().try_for_each(|(kind, sum)| line("", format!("{:>9}  {kind}", bytes(sum as usize))))
    }
}
