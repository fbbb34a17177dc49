//! The fields of `config.json`, before they are checked.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::encoder::{Activation, EncoderConfig, SettingNames, invalid};
use super::pruned_heads;
use crate::architecture::{Architecture, SUPPORTED};
use crate::error::{Error, Result};
use crate::json::read_json;

/// Padding index of RoBERTa and related models, if `config.json` has none.
const DEFAULT_PADDING: i64 = 1;

/// The fields that are read.
#[derive(Deserialize)]
struct RawConfig {
    architectures: Option<Vec<String>>,
    model_type: Option<String>,
    hidden_size: Option<usize>,
    dim: Option<usize>,
    num_hidden_layers: Option<usize>,
    n_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    n_heads: Option<usize>,
    intermediate_size: Option<usize>,
    hidden_dim: Option<usize>,
    embedding_size: Option<usize>,
    vocab_size: Option<usize>,
    max_position_embeddings: Option<usize>,
    type_vocab_size: Option<usize>,
    layer_norm_eps: Option<f64>,
    hidden_act: Option<String>,
    activation: Option<String>,
    pad_token_id: Option<i64>,
    position_embedding_type: Option<String>,
    is_decoder: Option<bool>,
    add_cross_attention: Option<bool>,
    is_encoder_decoder: Option<bool>,
    pruned_heads: Option<Value>,
    head_dim: Option<usize>,
    attention_head_size: Option<usize>,
    quantization_config: Option<Value>,
    auto_map: Option<Value>,
}

impl EncoderConfig {
    /// Reads and validates a `config.json`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Json`]; [`Error::UnsupportedArchitecture`] for a family that is none of [`Architecture`];
    /// [`Error::UnsupportedSetting`] for another activation, relative positions, a decoder, layers with different numbers of heads,
    /// weights in a quantised form, and models with Python code of their own;
    /// [`Error::InvalidSetting`] for a missing, zero, huge or contradictory size.
    pub fn from_file(path: &Path) -> Result<Self> {
        let config = read_json::<RawConfig>(path)?.encoder(path)?;
        config.validate(path)?;
        Ok(config)
    }

    /// The same of a value in memory, which is or will be in the file `path`.
    pub(super) fn from_json(path: &Path, json: serde_json::Value) -> Result<Self> {
        let raw: RawConfig =
            serde_json::from_value(json).map_err(|source| Error::Json { path: path.to_owned(), source })?;
        let config = raw.encoder(path)?;
        config.validate(path)?;
        Ok(config)
    }
}

impl RawConfig {
    /// The configuration, not yet validated.
    fn encoder(&self, path: &Path) -> Result<EncoderConfig> {
        let architecture = self.architecture(path)?;
        self.check_settings(path)?;
        let names = SettingNames::of(architecture);
        let is_distil = architecture == Architecture::DistilBert;
        // DistilBERT has names of its own, and takes BERT's for the same settings too.
        let size =
            |setting: &'static str, own: Option<usize>, bert: Option<usize>| match (own.filter(|_| is_distil), bert) {
                (Some(own), Some(bert)) if own != bert => {
                    let expected = format!("{bert}, which the same setting has under BERT's name");
                    Err(invalid(path, setting, own.to_string(), expected))
                }
                (own, bert) => own.or(bert).ok_or_else(|| invalid(path, setting, "nothing".into(), "a number".into())),
            };
        let hidden_size = size(names.hidden_size, self.dim, self.hidden_size)?;
        let positions = size("max_position_embeddings", None, self.max_position_embeddings)?;
        let position_offset = match architecture.offsets_positions() {
            true => self.first_position(path)?,
            false => 0,
        };
        let max_position = positions.checked_sub(position_offset).filter(|&left| left > 0 || positions == 0);
        let layers = size(names.layers, self.n_layers, self.num_hidden_layers)?;
        let all_heads = size(names.heads, self.n_heads, self.num_attention_heads)?;
        let whole = EncoderConfig {
            architecture,
            hidden_size,
            layers,
            heads: all_heads,
            attention_size: None,
            intermediate_size: size(names.intermediate_size, self.hidden_dim, self.intermediate_size)?,
            embedding_size: self.embedding_size(architecture, path)?.filter(|&size| size != hidden_size),
            vocab_size: size("vocab_size", None, self.vocab_size)?,
            max_position: max_position.ok_or_else(|| {
                let expected = format!("more than {position_offset}: pad_token_id + 1 rows belong to no token");
                invalid(path, "max_position_embeddings", positions.to_string(), expected)
            })?,
            position_offset,
            type_vocab_size: match architecture.has_token_types() {
                true => self.type_vocab_size.unwrap_or(2),
                false => 1,
            },
            layer_norm_eps: self.layer_norm_eps.filter(|_| !is_distil).unwrap_or(1e-12) as f32,
            activation: self.activation(is_distil, names.activation, path)?,
        };
        whole.validate(path)?; // the number of heads divides the hidden size, and layers are few enough to be counted
        self.check_head_size(&whole, path)?;
        match pruned_heads::removed(path, self.pruned_heads.as_ref(), layers, all_heads)? {
            0 => Ok(whole),
            removed => Ok(whole.with_heads(all_heads - removed)),
        }
    }

    /// Refuses heads of another size than `hidden_size / heads`, in settings that other architectures have.
    fn check_head_size(&self, whole: &EncoderConfig, path: &Path) -> Result<()> {
        let settings = [("head_dim", self.head_dim), ("attention_head_size", self.attention_head_size)];
        match settings.into_iter().find(|(_, size)| size.is_some_and(|size| size != whole.head_size())) {
            Some((setting, size)) => Err(Error::UnsupportedSetting {
                path: path.to_owned(),
                setting,
                found: size.unwrap_or_default().to_string(),
                supported: "the hidden size divided by the number of heads; fewer heads are said by pruned_heads",
            }),
            None => Ok(()),
        }
    }

    fn architecture(&self, path: &Path) -> Result<Architecture> {
        let classes = self.architectures.as_deref().unwrap_or_default();
        Architecture::find(self.model_type.as_deref(), classes).ok_or_else(|| Error::UnsupportedArchitecture {
            path: path.to_owned(),
            found: format!(
                "model_type {:?}, architectures {classes:?}",
                self.model_type.as_deref().unwrap_or("(none)"),
            ),
            supported: SUPPORTED,
        })
    }

    /// The row of the position table that belongs to the first token, where it is not row 0.
    fn first_position(&self, path: &Path) -> Result<usize> {
        let padding = self.pad_token_id.unwrap_or(DEFAULT_PADDING);
        usize::try_from(padding)
            .ok()
            .and_then(|padding| padding.checked_add(1))
            .ok_or_else(|| invalid(path, "pad_token_id", padding.to_string(), "0 or more".into()))
    }

    /// ELECTRA always has this field. Other architectures may have it if it equals the hidden size.
    fn embedding_size(&self, architecture: Architecture, path: &Path) -> Result<Option<usize>> {
        match (self.embedding_size, architecture.projects_embeddings()) {
            (None, true) => Err(invalid(path, "embedding_size", "nothing".into(), "a number".into())),
            (size, _) => Ok(size),
        }
    }

    fn activation(&self, is_distil: bool, setting: &'static str, path: &Path) -> Result<Activation> {
        let own = self.activation.as_deref().filter(|_| is_distil);
        let name = own.or(self.hidden_act.as_deref());
        name.map_or(Some(Activation::Gelu), Activation::from_name)
            .ok_or_else(|| unsupported(path, setting, name.unwrap_or_default(), Activation::NAMES))
    }

    fn check_settings(&self, path: &Path) -> Result<()> {
        match self.position_embedding_type.as_deref() {
            None | Some("absolute") => {}
            Some(other) => return Err(unsupported(path, "position_embedding_type", other, "\"absolute\"")),
        }
        let switches = [
            ("is_decoder", self.is_decoder),
            ("add_cross_attention", self.add_cross_attention),
            ("is_encoder_decoder", self.is_encoder_decoder),
        ];
        if let Some((setting, _)) = switches.into_iter().find(|(_, on)| *on == Some(true)) {
            return Err(unsupported(path, setting, "true", "false"));
        }
        if let Some(found) = self.quantization_config.as_ref().filter(|value| says_something(value)) {
            return Err(Error::UnsupportedSetting {
                path: path.to_owned(),
                setting: "quantization_config",
                found: found.to_string(),
                supported: "none: weights in f32, f16 or bf16, or an ONNX graph in int8",
            });
        }
        let Some(classes) = self.auto_map.as_ref().and_then(Value::as_object) else { return Ok(()) };
        // The model's own Python code would compute something else. Code of a tokenizer or of a configuration alone does not matter here.
        match classes.iter().find(|(class, value)| class.starts_with("AutoModel") && !value.is_null()) {
            None => Ok(()),
            Some((class, value)) => Err(Error::UnsupportedSetting {
                path: path.to_owned(),
                setting: "auto_map",
                found: format!("{class:?}: {value}"),
                supported: "models whose code is a part of the transformers library",
            }),
        }
    }
}

/// Whether a setting is neither null nor empty.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Object(entries) => !entries.is_empty(),
        Value::Array(entries) => !entries.is_empty(),
        _ => true,
    }
}

fn unsupported(path: &Path, setting: &'static str, found: &str, supported: &'static str) -> Error {
    Error::UnsupportedSetting { path: path.to_owned(), setting, found: format!("{found:?}"), supported }
}
