//! Tiny models of every architecture, and their folders.

use std::path::Path;

use lacuna::config::{Architecture, EncoderConfig};
use lacuna::{Model, Preset};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;
use tempfile::TempDir;

#[path = "../../model/tests/support/checkpoint.rs"]
mod files;

pub(crate) use files::{Tensors, config_json, tensors};

/// A tiny model of an architecture.
pub(crate) fn tiny(architecture: Architecture) -> EncoderConfig {
    let is_roberta = matches!(architecture, Architecture::Roberta | Architecture::XlmRoberta | Architecture::Camembert);
    EncoderConfig {
        architecture,
        hidden_size: 12,
        layers: 2,
        heads: 3,
        intermediate_size: 20,
        embedding_size: (architecture == Architecture::Electra).then_some(8),
        vocab_size: 20,
        max_position: 16,
        position_offset: if is_roberta { 2 } else { 0 },
        type_vocab_size: if architecture == Architecture::DistilBert || is_roberta { 1 } else { 2 },
        ..Preset::BertMini.config()
    }
}

/// A model directory.
pub(crate) fn directory(config: &Value, tensors: &Tensors) -> TempDir {
    let dir = TempDir::new().unwrap();
    write(dir.path(), config, tensors);
    dir
}

fn write(dir: &Path, config: &Value, tensors: &Tensors) {
    let bytes: Vec<Vec<u8>> =
        tensors.values().map(|(_, values)| values.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, (shape, _)), bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    std::fs::write(dir.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
}

pub(crate) fn load(config: &Value, tensors: &Tensors) -> lacuna::Result<Model, lacuna::errors::ModelError> {
    Model::open(directory(config, tensors).path())
}
