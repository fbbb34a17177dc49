//! Graphs of exporters and optimisers, built here node by node: each is read as the model that it was built from, or refused by name.

mod bombs;
mod build;
mod changed_outputs;
mod changes;
mod encoder;
mod forms;
mod functions;
mod outputs;
// The library's own: its messages are private.
#[allow(dead_code)]
#[path = "../../src/proto.rs"]
mod proto;
mod quantised;

use std::path::Path;

use lacuna_model::{Activation, EncoderConfig, Error, Model, OnnxError, Preset};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::build::Build;
use self::encoder::{Form, encoder};

const HIDDEN: usize = 8;

/// A model of two layers and two heads.
fn small(activation: Activation) -> Model {
    let config = EncoderConfig {
        hidden_size: HIDDEN,
        heads: 2,
        layers: 2,
        intermediate_size: 12,
        vocab_size: 20,
        max_position: 16,
        activation,
        ..Preset::BertMini.config()
    };
    Model::seeded(config, 3).unwrap()
}

/// A folder with the `config.json` of [`small`] models, changed by `settings`.
fn folder(settings: Value) -> TempDir {
    let dir = TempDir::new().unwrap();
    let mut config = json!({
        "model_type": "bert", "architectures": ["BertModel"], "hidden_size": HIDDEN, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 12, "hidden_act": "gelu", "vocab_size": 20, "max_position_embeddings": 16,
        "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0,
    });
    for (name, value) in settings.as_object().unwrap() {
        config[name] = value.clone();
    }
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    dir
}

/// A graph of a small model in a form, with the hidden states as its output; and the model that is read from it.
fn read(model: &Model, form: Form, settings: Value, half: bool) -> Result<Model, Error> {
    let dir = folder(settings);
    let mut b = Build { half, ..Build::new() };
    let states = encoder(&mut b, model, form);
    b.output(&states, "last_hidden_state", &["batch", "sequence", "hidden"]);
    b.write(dir.path());
    Model::open(dir.path())
}

/// The error of a folder's graph.
fn refused(dir: &Path) -> OnnxError {
    match Model::open(dir) {
        Err(Error::Onnx(error)) => error,
        Err(error) => panic!("refused as {error}"),
        Ok(_) => panic!("accepted"),
    }
}

fn assert_same(found: &Model, expected: &Model, what: &str) {
    let (found, expected) = (found.weights(), expected.weights());
    assert_eq!(found.layers, expected.layers, "{what}");
    assert_eq!(found.embeddings, expected.embeddings, "{what}");
}
