//! `config.json`: the shape of an encoder.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, Result};

/// No single dimension of a model may be larger; real ones are far below.
const MAX_DIMENSION: usize = 1 << 20;
/// No single matrix may have more elements (16 GiB of f32).
const MAX_ELEMENTS: usize = 1 << 32;
/// No model may have more layers.
const MAX_LAYERS: usize = 1024;

/// The shape of a BERT-class encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
    /// Features of the residual stream.
    pub hidden_size: usize,
    /// Number of encoder layers.
    pub layers: usize,
    /// Attention heads per layer; divides `hidden_size`.
    pub heads: usize,
    /// Features between the two feed-forward projections.
    pub intermediate_size: usize,
    /// Rows of the word embedding table.
    pub vocab_size: usize,
    /// Rows of the position embedding table: the longest sequence in tokens.
    pub max_position: usize,
    /// Rows of the token type embedding table.
    pub type_vocab_size: usize,
    /// Added to the variance in every layer normalisation.
    pub layer_norm_eps: f32,
    /// Activation of the feed-forward block.
    pub activation: Activation,
}

/// The activation function of the feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation {
    /// `x * (1 + erf(x / sqrt(2))) / 2`.
    Gelu,
}

/// The fields of `config.json` that are read, before validation.
#[derive(Deserialize)]
struct RawConfig {
    #[serde(default)]
    architectures: Vec<String>,
    model_type: Option<String>,
    hidden_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    intermediate_size: Option<usize>,
    vocab_size: Option<usize>,
    max_position_embeddings: Option<usize>,
    type_vocab_size: Option<usize>,
    layer_norm_eps: Option<f64>,
    hidden_act: Option<String>,
    position_embedding_type: Option<String>,
    is_decoder: Option<bool>,
}

impl EncoderConfig {
    /// Reads and validates a `config.json`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Json`]; [`Error::UnsupportedArchitecture`] for anything but BERT;
    /// [`Error::UnsupportedSetting`] for another activation, relative positions or a decoder;
    /// [`Error::InvalidSetting`] for a missing, zero, huge or contradictory size.
    pub fn from_file(path: &Path) -> Result<Self> {
        let raw: RawConfig = read_json(path)?;
        raw.check_architecture(path)?;
        raw.check_settings(path)?;
        let size = |setting: &'static str, value: Option<usize>| {
            value.ok_or_else(|| invalid(path, setting, "nothing".into(), "a number".into()))
        };
        let config = Self {
            hidden_size: size("hidden_size", raw.hidden_size)?,
            layers: size("num_hidden_layers", raw.num_hidden_layers)?,
            heads: size("num_attention_heads", raw.num_attention_heads)?,
            intermediate_size: size("intermediate_size", raw.intermediate_size)?,
            vocab_size: size("vocab_size", raw.vocab_size)?,
            max_position: size("max_position_embeddings", raw.max_position_embeddings)?,
            type_vocab_size: raw.type_vocab_size.unwrap_or(2),
            layer_norm_eps: raw.layer_norm_eps.unwrap_or(1e-12) as f32,
            activation: Activation::Gelu,
        };
        config.validate(path)?;
        Ok(config)
    }

    /// Features of one attention head.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.heads
    }

    pub(crate) fn validate(&self, path: &Path) -> Result<()> {
        let sizes = [
            ("hidden_size", self.hidden_size, MAX_DIMENSION),
            ("num_hidden_layers", self.layers, MAX_LAYERS),
            ("num_attention_heads", self.heads, MAX_DIMENSION),
            ("intermediate_size", self.intermediate_size, MAX_DIMENSION),
            ("vocab_size", self.vocab_size, MAX_ELEMENTS),
            ("max_position_embeddings", self.max_position, MAX_DIMENSION),
            ("type_vocab_size", self.type_vocab_size, MAX_DIMENSION),
        ];
        for (setting, value, max) in sizes {
            if value == 0 || value > max {
                return Err(invalid(path, setting, value.to_string(), format!("1 to {max}")));
            }
        }
        for (setting, rows) in [("vocab_size", self.vocab_size), ("intermediate_size", self.intermediate_size)] {
            if rows.checked_mul(self.hidden_size).is_none_or(|n| n > MAX_ELEMENTS) {
                return Err(invalid(
                    path,
                    setting,
                    format!("{rows} x hidden_size {}", self.hidden_size),
                    format!("at most {MAX_ELEMENTS} elements"),
                ));
            }
        }
        if !self.hidden_size.is_multiple_of(self.heads) {
            return Err(invalid(
                path,
                "num_attention_heads",
                self.heads.to_string(),
                format!("a divisor of hidden_size {}", self.hidden_size),
            ));
        }
        if !(self.layer_norm_eps >= 0.0 && self.layer_norm_eps < 1.0) {
            return Err(invalid(path, "layer_norm_eps", self.layer_norm_eps.to_string(), "0 <= eps < 1".into()));
        }
        Ok(())
    }
}

impl RawConfig {
    /// BERT by `model_type`, or by an architecture class named `Bert...` when that is absent.
    fn check_architecture(&self, path: &Path) -> Result<()> {
        let is_bert = match self.model_type.as_deref() {
            Some(model_type) => model_type == "bert",
            None => self.architectures.iter().any(|a| a.starts_with("Bert")),
        };
        if is_bert {
            return Ok(());
        }
        Err(Error::UnsupportedArchitecture {
            path: path.to_owned(),
            found: format!(
                "model_type {:?}, architectures {:?}",
                self.model_type.as_deref().unwrap_or("(none)"),
                self.architectures
            ),
            supported: "BERT encoders (model_type \"bert\")",
        })
    }

    fn check_settings(&self, path: &Path) -> Result<()> {
        let unsupported = |setting, found: &str, supported| Error::UnsupportedSetting {
            path: path.to_owned(),
            setting,
            found: format!("{found:?}"),
            supported,
        };
        match self.hidden_act.as_deref() {
            None | Some("gelu") => {}
            Some(other) => return Err(unsupported("hidden_act", other, "\"gelu\"")),
        }
        match self.position_embedding_type.as_deref() {
            None | Some("absolute") => {}
            Some(other) => {
                return Err(unsupported("position_embedding_type", other, "\"absolute\""));
            }
        }
        if self.is_decoder == Some(true) {
            return Err(unsupported("is_decoder", "true", "false"));
        }
        Ok(())
    }
}

fn invalid(path: &Path, setting: &'static str, found: String, expected: String) -> Error {
    Error::InvalidSetting { path: path.to_owned(), setting, found, expected }
}

/// Reads one JSON file into a type.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), action: "read", source })?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: PathBuf::from(path), source })
}

/// Like [`read_json`]; a file that does not exist is `None`.
pub(crate) fn read_json_if_present<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match read_json(path) {
        Ok(value) => Ok(Some(value)),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
