//! A configuration as `config.json`.

use std::path::Path;

use serde_json::{Value, json};

use super::encoder::{EncoderConfig, SettingNames, invalid};
use super::pruned_heads;
use crate::error::Result;

impl EncoderConfig {
    /// `config.json` as the architecture's library writes it, with the settings that are read here.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) if what is read from it would be another configuration: `position_offset`
    /// in an architecture without padding rows, another `layer_norm_eps` than that of DistilBERT, heads that are no part of `hidden_size`.
    pub(crate) fn to_json(&self, path: &Path) -> Result<Value> {
        let names = SettingNames::of(self.architecture);
        let mut json = json!({
            "architectures": [self.architecture.class_of_encoder()],
            "model_type": self.architecture.model_type(),
            "vocab_size": self.vocab_size,
            "max_position_embeddings": self.max_position + self.position_offset,
            "layer_norm_eps": f64::from(self.layer_norm_eps),
        });
        // The heads before any was removed.
        let all_heads = self.hidden_size / self.head_size().max(1);
        let settings = [
            (names.hidden_size, self.hidden_size),
            (names.layers, self.layers),
            (names.heads, all_heads),
            (names.intermediate_size, self.intermediate_size),
        ];
        for (name, value) in settings {
            json[name] = value.into();
        }
        json[names.activation] = self.activation.name_in_config().into();
        if self.architecture.has_token_types() {
            json["type_vocab_size"] = self.type_vocab_size.into();
        }
        if self.architecture.projects_embeddings() {
            json["embedding_size"] = self.embedding_features().into();
        }
        if all_heads > self.heads {
            json["pruned_heads"] = pruned_heads::written(self.layers, all_heads, self.heads);
        }
        if let Some(padding) = self.position_offset.checked_sub(1) {
            json["pad_token_id"] = padding.into();
        }
        match EncoderConfig::from_json(path, json.clone()) {
            Ok(read) if read == *self => Ok(json),
            Ok(read) => {
                let found = format!("{self:?}");
                Err(invalid(path, "configuration", found, format!("what a config.json can say, such as {read:?}")))
            }
            Err(error) => Err(error),
        }
    }
}
