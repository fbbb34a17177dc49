//! ONNX export: the graphs, and whether an independent runtime makes of them what the f32 reference computes.

mod agreement;
mod errors;
mod mutations;
// The library's own: its messages are private.
#[allow(dead_code)]
#[path = "../../src/proto.rs"]
mod proto;
mod structure;

use lacuna_model::export::OnnxModel;
use lacuna_model::{Block, CalibrationOptions, EncoderConfig, Model, Preset, seeded_ids};
use prost::Message;

const VOCAB: usize = 60;

/// A small model of two layers with heads of this size.
fn small(heads: usize, head_size: usize) -> Model {
    let hidden_size = heads * head_size;
    let config = EncoderConfig {
        hidden_size,
        heads,
        layers: 2,
        intermediate_size: 3 * hidden_size + 1,
        vocab_size: VOCAB,
        max_position: 40,
        ..Preset::BertMini.config()
    };
    Model::seeded(config, 3).unwrap()
}

/// The same with other heads of the same size.
fn with_heads(model: &Model, kept: usize) -> Model {
    Model::seeded(model.config().with_heads(kept), 3).unwrap()
}

/// Sequences of given lengths.
fn ids_of(lengths: &[usize]) -> Vec<Vec<u32>> {
    lengths.iter().enumerate().map(|(i, &length)| seeded_ids(VOCAB, 1, length, i as u64).remove(0)).collect()
}

/// The three forms of one model, by name.
fn forms(model: &Model) -> [(&'static str, OnnxModel); 3] {
    let calibrated =
        model.clone().calibration().options(CalibrationOptions::per_tensor()).run_ids(&ids_of(&[20; 8])).unwrap();
    [
        ("f32", model.to_onnx().unwrap()),
        ("int8, dynamic", model.to_onnx_dynamic().unwrap()),
        ("int8, static", calibrated.to_onnx_qdq().unwrap()),
    ]
}

/// The messages of a graph.
fn messages(model: &OnnxModel) -> proto::ModelProto {
    proto::ModelProto::decode(&model.to_bytes()[..]).unwrap()
}

/// Half of the blocks are zero, and so is a whole output feature.
fn pruned() -> Model {
    small(2, 26).prune(Block::B4x1, 0.5).unwrap()
}
