//! The settings of the module Transformer: `sentence_bert_config.json`, under all names that it has had.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::length::length;
use super::remark::{Remark, RemarkScope};
use crate::error::{Error, Result};
use crate::json::read_json_if_present;

/// The names of the file; the first that a folder has is read.
pub(crate) const TRANSFORMER_FILES: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct TransformerSettings {
    /// The file; empty without one.
    pub(super) path: PathBuf,
    /// `max_seq_length`.
    pub(super) max_seq_length: Option<usize>,
    /// `max_length` of the settings for every call, which newer versions have.
    pub(super) call_length: Option<usize>,
    /// `do_lower_case`.
    pub(super) lower_case: bool,
    /// Settings that replace those of the tokenizer.
    pub(super) tokenizer: Map<String, Value>,
    pub(super) remarks: Vec<Remark>,
}

/// Settings of `processing_kwargs` that change nothing where texts are not padded and are cut.
const HARMLESS_CALL: [&str; 5] =
    ["padding", "pad_to_multiple_of", "return_tensors", "return_attention_mask", "return_token_type_ids"];
/// Settings of the tokenizer that are followed, or change nothing.
const TOKENIZER: [&str; 12] = [
    "model_max_length",
    "truncation_side",
    "padding_side",
    "do_lower_case",
    "strip_accents",
    "tokenize_chinese_chars",
    "trust_remote_code",
    "use_fast",
    "revision",
    "token",
    "cache_dir",
    "local_files_only",
];
/// Settings of loading that change where and how a model is computed, but not what.
const LOADING: [&str; 13] = [
    "add_pooling_layer",
    "trust_remote_code",
    "torch_dtype",
    "dtype",
    "attn_implementation",
    "device_map",
    "use_safetensors",
    "low_cpu_mem_usage",
    "revision",
    "token",
    "cache_dir",
    "local_files_only",
    "use_cache",
];

impl TransformerSettings {
    /// Reads the file of the first of `folders` that has one.
    pub(super) fn read(folders: &[&Path]) -> Result<TransformerSettings> {
        for path in folders.iter().flat_map(|folder| TRANSFORMER_FILES.map(|name| folder.join(name))) {
            if let Some(raw) = read_json_if_present::<Map<String, Value>>(&path)? {
                return Reader { path: &path }.settings(&raw);
            }
        }
        Ok(TransformerSettings::default())
    }
}

struct Reader<'a> {
    path: &'a Path,
}

impl Reader<'_> {
    fn settings(&self, raw: &Map<String, Value>) -> Result<TransformerSettings> {
        let mut settings = TransformerSettings { path: self.path.to_owned(), ..TransformerSettings::default() };
        for (key, value) in raw.iter().filter(|(_, value)| !value.is_null()) {
            match &key[..] {
                "max_seq_length" => settings.max_seq_length = length(self.path, "max_seq_length", value)?,
                "do_lower_case" => {
                    let wrong = || self.invalid("do_lower_case", value, "true or false");
                    settings.lower_case = value.as_bool().ok_or_else(wrong)?;
                }
                "tokenizer_args" | "processor_kwargs" | "tokenizer_kwargs" => {
                    let found = self.object("settings of the tokenizer", value)?;
                    if let Some((key, value)) = found.iter().find(|(key, _)| !TOKENIZER.contains(&&key[..])) {
                        return Err(self.unsupported(
                            "setting of the tokenizer",
                            key,
                            value,
                            "lengths, sides and case",
                        ));
                    }
                    settings.tokenizer.extend(found.clone());
                }
                "model_args" | "config_args" | "model_kwargs" | "config_kwargs" => {
                    let found = self.object("settings of loading", value)?;
                    let other = found.iter().find(|(key, value)| !LOADING.contains(&&key[..]) && !value.is_null());
                    if let Some((key, value)) = other {
                        return Err(self.unsupported("setting of loading", key, value, "types, devices and caches"));
                    }
                }
                "processing_kwargs" => settings.call_length = self.call_length(value)?,
                "transformer_task" => self.check(
                    "transformer_task",
                    value,
                    &["feature-extraction", "sequence-classification"],
                    "\"feature-extraction\", \"sequence-classification\"",
                )?,
                "module_output_name" => self.check(
                    "module_output_name",
                    value,
                    &["token_embeddings", "scores"],
                    "\"token_embeddings\", \"scores\"",
                )?,
                "modality_config" => self.check_modality(value)?,
                "query_expansion" => {
                    return Err(self.unsupported("setting of Transformer", key, value, "null: texts are not expanded"));
                }
                "tokenizer_name_or_path" => {
                    let supported = "null: the tokenizer of the model's own folder";
                    return Err(self.unsupported("setting of Transformer", key, value, supported));
                }
                "unpad_inputs" | "message_format" | "backend" | "cache_dir" => {}
                other => {
                    let name = self.path.file_name().unwrap_or_default().to_string_lossy();
                    let why = match other {
                        "query_length" | "document_length" => "texts are not marked as queries or documents",
                        _ => "the setting is not known",
                    };
                    let text = format!("{other}: {value} of {name} is not applied: {why}");
                    settings.remarks.push(Remark::new(RemarkScope::Texts, text));
                }
            }
        }
        Ok(settings)
    }

    /// `{"common": {...}, "text": {...}}`: settings for every call of the tokenizer. Other modalities do not concern texts.
    fn call_length(&self, value: &Value) -> Result<Option<usize>> {
        let mut limit = None;
        let all = self.object("processing_kwargs", value)?;
        for group in ["common", "text"] {
            let Some(value) = all.get(group).filter(|value| !value.is_null()) else { continue };
            for (key, value) in self.object("processing_kwargs", value)?.iter().filter(|(_, value)| !value.is_null()) {
                match (&key[..], value) {
                    ("max_length", value) => limit = length(self.path, "max_length", value)?,
                    ("truncation", Value::Bool(true)) => {}
                    ("truncation", Value::String(how)) if how == "longest_first" => {}
                    ("add_special_tokens", Value::Bool(true)) => {}
                    (key, _) if HARMLESS_CALL.contains(&key) => {}
                    _ => return Err(self.unsupported("processing_kwargs", key, value, "max_length and truncation")),
                }
            }
        }
        Ok(limit)
    }

    /// Texts must go through the model's forward pass, and what is read of it must be the hidden states, or the logits of a head.
    fn check_modality(&self, value: &Value) -> Result<()> {
        let Some(text) = value.get("text").filter(|text| !text.is_null()) else {
            return Err(self.invalid("modality_config", value, "an object with an entry for text"));
        };
        let supported = "\"forward\" with \"last_hidden_state\" or \"logits\"";
        let is =
            |key: &str, known: &[&str]| text.get(key).and_then(Value::as_str).is_some_and(|it| known.contains(&it));
        match is("method", &["forward"]) && is("method_output_name", &["last_hidden_state", "logits"]) {
            true => Ok(()),
            false => Err(self.unsupported("modality_config", "text", text, supported)),
        }
    }

    fn check(&self, setting: &'static str, value: &Value, known: &[&str], supported: &'static str) -> Result<()> {
        match value.as_str().is_some_and(|name| known.contains(&name)) {
            true => Ok(()),
            false => {
                let (path, found) = (self.path.to_owned(), value.to_string());
                Err(Error::UnsupportedSetting { path, setting, found, supported })
            }
        }
    }

    fn object<'v>(&self, setting: &'static str, value: &'v Value) -> Result<&'v Map<String, Value>> {
        value.as_object().ok_or_else(|| self.invalid(setting, value, "an object"))
    }

    fn unsupported(&self, setting: &'static str, key: &str, value: &Value, supported: &'static str) -> Error {
        Error::UnsupportedSetting { path: self.path.to_owned(), setting, found: format!("{key:?}: {value}"), supported }
    }

    fn invalid(&self, setting: &'static str, found: &Value, expected: &str) -> Error {
        let path = self.path.to_owned();
        Error::InvalidSetting { path, setting, found: found.to_string(), expected: expected.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: &Value) -> Result<TransformerSettings> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(TRANSFORMER_FILES[0]), json.to_string()).unwrap();
        TransformerSettings::read(&[dir.path()])
    }

    #[test]
    fn what_newer_versions_write_is_read() {
        let settings = read(&json!({
            "transformer_task": "feature-extraction",
            "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
            "module_output_name": "token_embeddings",
            "processing_kwargs": {},
            "unpad_inputs": null,
            "model_args": {"torch_dtype": "float16"},
            "query_length": 32,
        }))
        .unwrap();
        assert_eq!((settings.max_seq_length, settings.lower_case), (None, false));
        assert_eq!(settings.remarks.len(), 1);
        assert!(settings.remarks[0].text.starts_with("query_length: 32 of sentence_bert_config.json is not applied"));
    }

    #[test]
    fn what_would_change_the_tokens_is_refused_by_name() {
        for (json, expected) in [
            (json!({"transformer_task": "text-generation"}), "transformer_task"),
            (json!({"module_output_name": "sentence_embedding"}), "module_output_name"),
            (
                json!({"modality_config": {"text": {"method": "get_text_features", "method_output_name": "x"}}}),
                "get_text",
            ),
            (json!({"modality_config": {"image": {}}}), "modality_config"),
            (json!({"processing_kwargs": {"text": {"truncation": false}}}), "\"truncation\": false"),
            (json!({"processing_kwargs": {"text": {"add_special_tokens": false}}}), "\"add_special_tokens\": false"),
            (json!({"tokenizer_args": {"additional_special_tokens": ["a"]}}), "additional_special_tokens"),
            (json!({"model_args": {"add_pooling_layer": true, "num_hidden_layers": 2}}), "num_hidden_layers"),
            (json!({"query_expansion": {"length": 32}}), "query_expansion"),
            (json!({"tokenizer_name_or_path": "other"}), "tokenizer_name_or_path"),
            (json!({"do_lower_case": 1}), "do_lower_case"),
        ] {
            let error = read(&json).unwrap_err().to_string();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}
