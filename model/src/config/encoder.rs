//! The shape of an encoder.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::architecture::Architecture;
use crate::error::{Error, Result};

/// No single dimension of a model may be larger; real ones are far below.
const MAX_DIMENSION: usize = 1 << 20;
/// No single matrix may have more elements (16 GiB of f32).
const MAX_ELEMENTS: usize = 1 << 32;
/// No model may have more layers.
const MAX_LAYERS: usize = 1024;

/// The shape of a BERT-class encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EncoderConfig {
    /// The family: how its checkpoints are named, and what they hold.
    pub architecture: Architecture,
    /// Features of the residual stream.
    pub hidden_size: usize,
    /// Number of encoder layers.
    pub layers: usize,
    /// Attention heads per layer; divides the features of attention, [`EncoderConfig::attention_features`].
    pub heads: usize,
    /// Features of all heads together where they differ from `hidden_size`: heads of the same size were removed. `q`, `k` and `v` then
    /// lead from `hidden_size` to it, and `o` back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention_size: Option<usize>,
    /// Features between the two feed-forward projections.
    pub intermediate_size: usize,
    /// Features of the embedding tables where they differ from `hidden_size`; a linear layer then leads to `hidden_size`. Only
    /// ELECTRA has that.
    pub embedding_size: Option<usize>,
    /// Rows of the word embedding table.
    pub vocab_size: usize,
    /// The longest sequence in tokens: rows of [`EmbeddingWeights::position`](crate::EmbeddingWeights::position).
    pub max_position: usize,
    /// Rows that a checkpoint's position table has before that of the first token: the padding index + 1 in RoBERTa and its kin, else
    /// 0. They are skipped when a checkpoint is read.
    pub position_offset: usize,
    /// Rows of the token type embedding table; 1 in architectures without token types.
    pub type_vocab_size: usize,
    /// Added to the variance in every layer normalisation.
    pub layer_norm_eps: f32,
    /// Activation of the feed-forward block.
    pub activation: Activation,
}

/// The activation function of the feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `x * (1 + erf(x / sqrt(2))) / 2`: `gelu`.
    Gelu,
    /// `x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2`: `gelu_new`, `gelu_pytorch_tanh`, and other names for the same function.
    GeluTanh,
    /// `max(x, 0)`: `relu`.
    Relu,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Activation; 3] = [Activation::Gelu, Activation::GeluTanh, Activation::Relu];

    /// The names that are understood in `config.json`, for errors.
    pub(super) const NAMES: &str = "\"gelu\", \"gelu_new\", \"gelu_pytorch_tanh\", \"relu\"";

    /// The name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu-tanh",
            Activation::Relu => "relu",
        }
    }

    /// The name that is written into `config.json`.
    pub(super) const fn name_in_config(self) -> &'static str {
        match self {
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu_new",
            Activation::Relu => "relu",
        }
    }

    /// The activation of a name in `config.json`. `gelu_fast` and `gelu_accurate` are other ways to write the tanh form,
    /// `gelu_python` one to write the erf form.
    pub(super) fn from_name(name: &str) -> Option<Activation> {
        match name {
            "gelu" | "gelu_python" => Some(Activation::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" | "gelu_accurate" => Some(Activation::GeluTanh),
            "relu" => Some(Activation::Relu),
            _ => None,
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What `config.json` calls the settings that not all architectures call the same.
pub(super) struct SettingNames {
    pub(super) hidden_size: &'static str,
    pub(super) layers: &'static str,
    pub(super) heads: &'static str,
    pub(super) intermediate_size: &'static str,
    pub(super) activation: &'static str,
}

impl SettingNames {
    pub(super) const fn of(architecture: Architecture) -> SettingNames {
        match architecture {
            Architecture::DistilBert => SettingNames {
                hidden_size: "dim",
                layers: "n_layers",
                heads: "n_heads",
                intermediate_size: "hidden_dim",
                activation: "activation",
            },
            _ => SettingNames {
                hidden_size: "hidden_size",
                layers: "num_hidden_layers",
                heads: "num_attention_heads",
                intermediate_size: "intermediate_size",
                activation: "hidden_act",
            },
        }
    }
}

impl EncoderConfig {
    /// Features of one attention head.
    pub fn head_size(&self) -> usize {
        self.attention_features() / self.heads
    }

    /// Features of all attention heads together: outputs of `q`, `k` and `v`, and inputs of `o`.
    pub fn attention_features(&self) -> usize {
        self.attention_size.unwrap_or(self.hidden_size)
    }

    /// The same shape with another number of heads of the same size.
    #[must_use]
    pub fn with_heads(&self, heads: usize) -> EncoderConfig {
        let features = self.head_size().saturating_mul(heads);
        EncoderConfig { heads, attention_size: Some(features).filter(|&size| size != self.hidden_size), ..self.clone() }
    }

    /// Output and input features of the six linear layers of an encoder layer, in the order of [`LINEAR_NAMES`](crate::LINEAR_NAMES):
    /// q, k, v, o, up, down.
    pub fn linear_shapes(&self) -> [(usize, usize); 6] {
        let (hidden, attended, inner) = (self.hidden_size, self.attention_features(), self.intermediate_size);
        let read = (attended, hidden);
        [read, read, read, (hidden, attended), (inner, hidden), (hidden, inner)]
    }

    /// Whether a linear layer lies between the embeddings and the first layer.
    pub fn projects_embeddings(&self) -> bool {
        self.embedding_features() != self.hidden_size
    }

    /// Features of the embedding tables.
    pub fn embedding_features(&self) -> usize {
        self.embedding_size.unwrap_or(self.hidden_size)
    }

    /// Refuses shapes that no model can have; `path` names the model in messages.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`].
    pub fn validate(&self, path: &Path) -> Result<()> {
        let names = SettingNames::of(self.architecture);
        let sizes = [
            (names.hidden_size, self.hidden_size, MAX_DIMENSION),
            (names.layers, self.layers, MAX_LAYERS),
            (names.heads, self.heads, MAX_DIMENSION),
            ("attention_size", self.attention_features(), MAX_DIMENSION),
            (names.intermediate_size, self.intermediate_size, MAX_DIMENSION),
            ("embedding_size", self.embedding_features(), MAX_DIMENSION),
            ("vocab_size", self.vocab_size, MAX_ELEMENTS),
            ("max_position_embeddings", self.max_position, MAX_DIMENSION),
            ("pad_token_id", self.position_offset.max(1), MAX_DIMENSION),
            ("type_vocab_size", self.type_vocab_size, MAX_DIMENSION),
        ];
        for (setting, value, max) in sizes {
            if value == 0 || value > max {
                return Err(invalid(path, setting, value.to_string(), format!("1 to {max}")));
            }
        }
        let (hidden, embedding, attended) = (self.hidden_size, self.embedding_features(), self.attention_features());
        for (setting, rows, features) in [
            ("vocab_size", self.vocab_size, embedding),
            ("embedding_size", embedding, hidden),
            ("attention_size", attended, hidden),
            (names.intermediate_size, self.intermediate_size, hidden),
        ] {
            if rows.checked_mul(features).is_none_or(|n| n > MAX_ELEMENTS) {
                return Err(invalid(
                    path,
                    setting,
                    format!("{rows} x {features} features"),
                    format!("at most {MAX_ELEMENTS} elements"),
                ));
            }
        }
        if !attended.is_multiple_of(self.heads) {
            let setting = if self.attention_size.is_some() { "attention_size" } else { names.hidden_size };
            let expected = format!("a divisor of {setting} {attended}");
            return Err(invalid(path, names.heads, self.heads.to_string(), expected));
        }
        if self.projects_embeddings() && !self.architecture.projects_embeddings() {
            let expected = format!("{} {hidden}: only ELECTRA projects its embeddings", names.hidden_size);
            return Err(invalid(path, "embedding_size", embedding.to_string(), expected));
        }
        if self.type_vocab_size != 1 && !self.architecture.has_token_types() {
            let expected = format!("1: {} has no token types", self.architecture);
            return Err(invalid(path, "type_vocab_size", self.type_vocab_size.to_string(), expected));
        }
        if !(self.layer_norm_eps >= 0.0 && self.layer_norm_eps < 1.0) {
            return Err(invalid(path, "layer_norm_eps", self.layer_norm_eps.to_string(), "0 <= eps < 1".into()));
        }
        Ok(())
    }
}

/// The error for a setting that no model can have.
pub(super) fn invalid(path: &Path, setting: &'static str, found: String, expected: String) -> Error {
    Error::InvalidSetting { path: path.to_owned(), setting, found, expected }
}
