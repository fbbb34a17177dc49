//! Graphs that contradict `config.json`, or that Lacuna does not understand: errors that name both.

use crate::proto::{DataType, ModelProto, NodeProto, TensorProto};
use lacuna::errors::ModelError;
use lacuna::errors::OnnxError;
use lacuna::errors::WeightError;
use prost::Message;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// The error of a fixture with another configuration and a changed graph.
fn refused(name: &str, settings: &[(&str, Value)], change: impl FnOnce(&mut ModelProto)) -> OnnxError {
    let dir = TempDir::new().unwrap();
    for entry in std::fs::read_dir(folder(name)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    let (config, graph) = (dir.path().join("config.json"), dir.path().join("model.onnx"));
    let mut json: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    settings.iter().for_each(|(setting, value)| json[*setting] = value.clone());
    std::fs::write(config, json.to_string()).unwrap();
    let mut model = ModelProto::decode(&std::fs::read(&graph).unwrap()[..]).unwrap();
    change(&mut model);
    std::fs::write(graph, model.encode_to_vec()).unwrap();
    match Model::open(dir.path()).and_then(|model| model.head()) {
        Err(ModelError::Onnx(error)) => {
            println!("{error}");
            error
        }
        Err(error) => panic!("{settings:?}: {error}"),
        Ok(_) => panic!("{settings:?}: accepted"),
    }
}

fn nodes<'m>(model: &'m mut ModelProto, op: &str) -> Vec<&'m mut NodeProto> {
    model.graph.as_mut().unwrap().node.iter_mut().filter(|node| node.op_type == op).collect()
}

#[test]
fn differences_name_what_both_say() {
    let graph = |_: &mut ModelProto| {};
    for (settings, what, found, expected) in [
        (&[("num_hidden_layers", json!(3))][..], "layers", "2", "3"),
        (&[("num_hidden_layers", json!(1))], "layers", "more than 1", "1"),
        (&[("num_attention_heads", json!(4))], "head", "16", "8"),
        (&[("hidden_size", json!(64)), ("num_attention_heads", json!(4))], "features", "32", "64"),
        (&[("intermediate_size", json!(64))], "up", "48 outputs x 32 inputs", "64 x 32"),
        (&[("vocab_size", json!(50))], "word embeddings", "48", "vocab_size 50"),
        (&[("max_position_embeddings", json!(32))], "", "24", "32"),
        (&[("type_vocab_size", json!(3))], "token type embeddings", "2", "type_vocab_size 3"),
        (&[("hidden_act", json!("gelu_new"))], "activation", "gelu", "gelu-tanh"),
        (&[("hidden_act", json!("relu"))], "activation", "gelu", "relu"),
    ] {
        match refused("bert", settings, graph) {
            OnnxError::Config { what: found_what, graph, config, .. } => {
                assert!(found_what.contains(what), "{found_what}: {what}");
                assert!(graph.contains(found), "{settings:?}: {graph}");
                assert!(config.contains(expected), "{settings:?}: {config}");
            }
            // Rows that are those of no table in config.json may be of any of them.
            OnnxError::Structure { found, .. } => {
                let says = ["a second time", "no position", "[1, 24, 32]"];
                assert!(says.iter().any(|says| found.contains(says)), "{found}")
            }
            error => panic!("{settings:?}: {error}"),
        }
    }
    let padded = refused("roberta", &[("pad_token_id", json!(2)), ("max_position_embeddings", json!(24))], graph);
    assert!(
        matches!(&padded, OnnxError::Config { what, .. } if what.contains("position of the first token")),
        "{padded}"
    );
}

#[test]
fn activations_are_told_by_what_they_compute() {
    let quick =
        refused("bert", &[], |model| nodes(model, "Erf").iter_mut().for_each(|node| node.op_type = "Sigmoid".into()));
    assert!(matches!(&quick, OnnxError::Structure { expected, .. } if expected.contains("GELU")), "{quick}");
    let unknown =
        refused("bert", &[], |model| nodes(model, "Erf").iter_mut().for_each(|node| node.op_type = "Softplus".into()));
    assert!(
        matches!(&unknown, OnnxError::Structure { found, node, .. } if found.contains("Softplus") && node.contains("Softplus")),
        "{unknown}"
    );
}

#[test]
fn tracing_names_where_it_stops() {
    let stopped = |what: &str, error: OnnxError, text: &str| {
        assert!(matches!(&error, OnnxError::Structure { .. }), "{what}: {error}");
        assert!(error.to_string().contains(text), "{what}: {error}");
    };
    let softmax = refused("bert", &[], |model| nodes(model, "Softmax")[1].op_type = "Hardmax".into());
    stopped("no softmax", softmax, "Hardmax");
    let residual = refused("bert", &[], |model| {
        let word = nodes(model, "Gather").into_iter().find(|node| node.name.contains("word")).unwrap();
        let value = word.output[0].clone();
        let sum = nodes(model, "Add").into_iter().find(|node| node.name.ends_with("layer.1/output/Add")).unwrap();
        sum.input[1] = value;
    });
    stopped("another residual", residual, "same value in both");
    let keys = refused("bert", &[], |model| {
        let scores = nodes(model, "MatMul")
            .into_iter()
            .find(|node| node.name.ends_with("layer.1/attention/self/MatMul"))
            .unwrap();
        scores.input.swap(0, 1);
    });
    stopped("queries and keys exchanged", keys, "order");
    let loose = refused("bert", &[], |model| {
        nodes(model, "Gather")
            .into_iter()
            .filter(|node| node.name.contains("word"))
            .for_each(|node| node.op_type = "GatherND".into());
    });
    stopped("no table", loose, "GatherND");
}

#[test]
fn scales_of_attention_are_checked() {
    let error = refused("bert", &[], |model| {
        for node in nodes(model, "Constant") {
            for tensor in node.attribute.iter_mut().filter_map(|attribute| attribute.t.as_mut()) {
                if tensor.data_type() == DataType::Float && tensor.raw_data.as_deref() == Some(&0.25f32.to_le_bytes()) {
                    tensor.raw_data = Some(0.5f32.to_le_bytes().to_vec().into());
                }
            }
        }
    });
    assert!(
        matches!(&error, OnnxError::Config { what, graph, .. } if what.contains("factor") && graph == "0.5"),
        "{error}"
    );
}

#[test]
fn values_and_scales_must_be_numbers() {
    let changed = |name: &str, part: &str, bytes: [u8; 4]| {
        let dir = TempDir::new().unwrap();
        std::fs::copy(folder(name).join("config.json"), dir.path().join("config.json")).unwrap();
        let mut model = ModelProto::decode(&std::fs::read(folder(name).join("model.onnx")).unwrap()[..]).unwrap();
        let tensors = &mut model.graph.as_mut().unwrap().initializer;
        let tensor: &mut TensorProto = tensors.iter_mut().find(|tensor| tensor.name.contains(part)).unwrap();
        let mut raw = tensor.raw_data.take().unwrap().to_vec();
        raw[..4].copy_from_slice(&bytes);
        tensor.raw_data = Some(raw.into());
        std::fs::write(dir.path().join("model.onnx"), model.encode_to_vec()).unwrap();
        Model::open(dir.path()).unwrap_err()
    };
    let nan = changed("electra", "word_embeddings", f32::NAN.to_le_bytes());
    assert!(
        matches!(nan, ModelError::Weights(WeightError::NonFiniteWeights { count: 1, first_index: 0, .. })),
        "{nan}"
    );
    for scale in [0.0f32, -1.0, f32::NAN, f32::INFINITY, 1e-42] {
        let error = changed("bert-sparse", "query/MatMul.scale", scale.to_le_bytes());
        assert!(
            matches!(error, ModelError::Onnx(_) | ModelError::Weights(WeightError::NonFiniteWeights { .. })),
            "{scale}: {error}"
        );
    }
}

#[test]
fn heads_that_are_not_there() {
    let error = refused("bert", &[("architectures", json!(["BertForTokenClassification"]))], |_| {});
    assert!(matches!(&error, OnnxError::Head { expected, .. } if *expected == "ForTokenClassification"), "{error}");
    let error = refused("bert-answer", &[("architectures", json!(["BertForMaskedLM"]))], |_| {});
    assert!(matches!(&error, OnnxError::Head { .. }), "{error}");
    let labels = json!({"0": "a", "1": "b"});
    let error = refused("bert-classify", &[("id2label", labels)], |_| {});
    assert!(
        matches!(&error, OnnxError::Config { graph, config, .. } if graph.contains("3 outputs") && config.contains("2 x 32")),
        "{error}"
    );
}
