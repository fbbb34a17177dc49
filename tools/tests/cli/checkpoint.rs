//! A tiny model directory, written file by file, and ways to damage it.

use std::fs;
use std::path::{Path, PathBuf};

use lacuna::Preset;
use lacuna::config::EncoderConfig;
use lacuna::weights::EncoderWeights;
use lacuna_model::seeded_weights;
use serde_json::{Value, json};
use tempfile::TempDir;

#[path = "../../../model/tests/support/checkpoint.rs"]
mod contents;

const WORDS: [&str; 8] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "sits", "dog"];

/// Longest sentence in tokens.
pub(crate) const LIMIT: usize = 12;
/// Features of an embedding.
pub(crate) const HIDDEN: usize = 16;

pub(crate) fn config() -> EncoderConfig {
    EncoderConfig {
        hidden_size: HIDDEN,
        layers: 2,
        heads: 2,
        intermediate_size: 32,
        vocab_size: WORDS.len(),
        max_position: LIMIT,
        ..Preset::BertMini.config()
    }
}

/// A tensor: name, dtype, shape, bytes.
pub(crate) struct Tensor(pub(crate) String, pub(crate) &'static str, pub(crate) Vec<usize>, pub(crate) Vec<u8>);

/// A model directory that is removed when the value is dropped.
pub(crate) struct ModelDir(TempDir);

impl ModelDir {
    pub(crate) fn new() -> ModelDir {
        let dir = ModelDir(tempfile::tempdir().unwrap());
        dir.write("config.json", &model_config().to_string());
        dir.write("tokenizer.json", &tokenizer().to_string());
        dir.write_tensors(&tensors());
        dir
    }

    /// A model of another implementation's making, from the library's fixtures, with a tokenizer.
    pub(crate) fn golden(name: &str) -> ModelDir {
        let dir = ModelDir(tempfile::tempdir().unwrap());
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name);
        for file in ["config.json", "model.safetensors"] {
            fs::copy(from.join(file), dir.0.path().join(file)).unwrap();
        }
        dir.write("tokenizer.json", &tokenizer().to_string());
        dir
    }

    /// With a token `[EXTRA]` in the tokenizer that the model's table of embeddings has no row for.
    pub(crate) fn with_extra_token() -> ModelDir {
        let dir = ModelDir::new();
        let mut json = tokenizer();
        let mut extra = json["added_tokens"][0].clone();
        extra["id"] = json!(WORDS.len());
        extra["content"] = json!("[EXTRA]");
        json["added_tokens"].as_array_mut().unwrap().push(extra);
        dir.write("tokenizer.json", &json.to_string());
        dir
    }

    /// With another `config.json` than the model needs.
    pub(crate) fn with_config(key: &str, value: Value) -> ModelDir {
        let dir = ModelDir::new();
        let mut config = model_config();
        config[key] = value;
        dir.write("config.json", &config.to_string());
        dir
    }

    /// With tensors changed by `damage`.
    pub(crate) fn with_tensors(damage: impl FnOnce(&mut Vec<Tensor>)) -> ModelDir {
        let dir = ModelDir::new();
        let mut tensors = tensors();
        damage(&mut tensors);
        dir.write_tensors(&tensors);
        dir
    }

    /// With the bytes of the checkpoint changed by `damage`.
    pub(crate) fn with_bytes(damage: impl FnOnce(&mut Vec<u8>)) -> ModelDir {
        let dir = ModelDir::new();
        let path = dir.0.path().join("model.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();
        dir
    }

    pub(crate) fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn remove(&self, file: &str) {
        fs::remove_file(self.0.path().join(file)).unwrap();
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.0.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn write_tensors(&self, tensors: &[Tensor]) {
        let mut header = serde_json::Map::new();
        let mut data = Vec::new();
        for Tensor(name, dtype, shape, bytes) in tensors {
            let range = [data.len(), data.len() + bytes.len()];
            header.insert(name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": range}));
            data.extend(bytes);
        }
        let header = Value::Object(header).to_string();
        let length = (header.len() as u64).to_le_bytes();
        fs::write(self.0.path().join("model.safetensors"), [&length, header.as_bytes(), &data].concat()).unwrap();
    }
}

fn model_config() -> Value {
    let mut json = contents::config_json(&config());
    json["architectures"] = json!(["BertModel"]);
    json
}

fn tokenizer() -> Value {
    let special = |id: usize| {
        json!({"id": id, "content": WORDS[id], "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    let part = |name: &str| json!({"SpecialToken": {"id": name, "type_id": 0}});
    let word = |name: &str, id: usize| json!({"id": name, "ids": [id], "tokens": [name]});
    let vocab: serde_json::Map<String, Value> =
        WORDS.into_iter().enumerate().map(|(id, word)| (word.to_owned(), json!(id))).collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": (0..4).map(special).collect::<Vec<_>>(),
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                       "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [part("[CLS]"), {"Sequence": {"id": "A", "type_id": 0}}, part("[SEP]")],
            "pair": [part("[CLS]"), {"Sequence": {"id": "A", "type_id": 0}}, part("[SEP]"),
                     {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"[CLS]": word("[CLS]", 2), "[SEP]": word("[SEP]", 3)},
        },
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
    })
}

pub(crate) fn tensors() -> Vec<Tensor> {
    let weights = EncoderWeights { pooler: None, ..seeded_weights(&config(), 5) };
    let bytes = |values: Vec<f32>| values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let all = contents::tensors(&config(), &weights);
    all.into_iter().map(|(name, (shape, values))| Tensor(name, "F32", shape, bytes(values))).collect()
}

/// The names of the files in a directory.
pub(crate) fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
