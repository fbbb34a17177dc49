//! What Lacuna writes as a graph it reads again.

use lacuna::onnx::OnnxModel;
use prost::Message;

use crate::proto::{ModelProto, TensorProto};
use lacuna::calibration::CalibrationOptions;
use lacuna_model::LINEAR_NAMES;
use tempfile::TempDir;

use super::*;

/// The fixtures of tests/architectures: all families and activations.
const MODELS: [&str; 9] = [
    "bert",
    "bert-old",
    "distilbert",
    "distilbert-relu",
    "roberta",
    "xlm-roberta",
    "camembert",
    "electra",
    "electra-relu",
];

fn original(name: &str) -> (Model, PathBuf) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    (Model::open(&folder).unwrap(), folder)
}

fn read_again(graph: &OnnxModel, folder: &Path) -> Model {
    let dir = TempDir::new().unwrap();
    std::fs::copy(folder.join("config.json"), dir.path().join("config.json")).unwrap();
    graph.write(dir.path().join("model.onnx")).unwrap();
    Model::open(dir.path()).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
}

#[test]
fn floats_come_back_as_they_were() {
    for name in MODELS {
        let (model, folder) = original(name);
        let again = read_again(&model.to_onnx().unwrap(), &folder);
        let (before, after) = (model.weights(), again.weights());
        assert_eq!(before.layers, after.layers, "{name}");
        assert_eq!(before.embeddings, after.embeddings, "{name}");
        assert!(again.codes().is_none(), "{name}");
    }
}

/// A graph with fewer heads, beside a config.json that says so; one that does not is refused by name.
#[test]
fn fewer_heads_come_back_as_they_were() {
    let (whole, folder) = original("bert");
    let config = whole.config().with_heads(1);
    let smaller = Model::seeded(config.clone(), 5).unwrap();
    let written = TempDir::new().unwrap();
    smaller.write(written.path()).unwrap();
    let graph = smaller.to_onnx().unwrap();
    let again = read_again(&graph, written.path());
    assert_eq!((again.config(), &again.weights().layers), (&config, &smaller.weights().layers));
    let dir = TempDir::new().unwrap();
    std::fs::copy(folder.join("config.json"), dir.path().join("config.json")).unwrap();
    graph.write(dir.path().join("model.onnx")).unwrap();
    let error = Model::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("head"), "{error}");
}

/// The pooling of the graph is read from its nodes.
#[test]
fn pooling_comes_back_as_it_was() {
    use lacuna_model::{Pooling, PoolingMode};
    let (model, folder) = original("bert");
    for mode in PoolingMode::ALL {
        for normalize in [false, true] {
            let pooling = Pooling::new(mode, normalize);
            let graph = model.clone().with_pooling(pooling.clone()).unwrap().to_onnx().unwrap();
            let again = read_again(&graph, &folder);
            assert_eq!((&again.pooling().modes, &again.pooling().modules), (&pooling.modes, &pooling.modules));
        }
    }
}

/// The s8 initialiser of a linear layer, `[M][K]`.
fn codes(graph: &OnnxModel, name: &str, k: usize) -> Vec<i8> {
    let initializers = ModelProto::decode(&graph.to_bytes()[..]).unwrap().graph.unwrap().initializer;
    let of = |tensor: &&TensorProto| tensor.name == format!("{name}.weight_quantized");
    let raw = initializers.iter().find(of).unwrap().raw_data.as_ref().unwrap();
    let m = raw.len() / k;
    (0..m * k).map(|i| raw[i % k * m + i / k].cast_signed()).collect()
}

#[test]
fn codes_come_back_as_they_were() {
    const LAYERS: [&str; 6] = [
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "intermediate.dense",
        "output.dense",
    ];
    for name in MODELS {
        let (model, folder) = original(name);
        let limit = model.config().max_position.min(16);
        let ids = seeded_ids(model.config().vocab_size, 16, limit, 3);
        let calibrated = model.clone().calibration().options(CalibrationOptions::per_tensor()).run_ids(&ids).unwrap();
        let graphs = [("dynamic", model.to_onnx_dynamic().unwrap()), ("static", calibrated.to_onnx_qdq().unwrap())];
        for (kind, graph) in graphs {
            let again = read_again(&graph, &folder);
            let again = again.calibration().run_ids(&ids).unwrap();
            for i in 0..model.config().layers {
                let layer = again.quantize_layer(i);
                for ((linear, part), short) in layer.linears().into_iter().zip(LAYERS).zip(LINEAR_NAMES) {
                    let expected = codes(&graph, &format!("encoder.layer.{i}.{part}"), linear.k);
                    assert_eq!(linear.weight, expected, "{name}, {kind}, {i}.{short}");
                }
                if kind == "static" {
                    let (before, after) = (&calibrated.quant()[i], &again.quant()[i]);
                    for (a, b) in [
                        (&before.attn_in, &after.attn_in),
                        (&before.attn_out, &after.attn_out),
                        (&before.ffn_in, &after.ffn_in),
                        (&before.gelu_out, &after.gelu_out),
                    ] {
                        assert_eq!((&a.scale, a.zero_point), (&b.scale, b.zero_point), "{name}, {i}");
                    }
                }
            }
            if let Some(projection) = again.quantize_projection() {
                assert_eq!(projection.weight, codes(&graph, "embeddings_project", projection.k), "{name}, {kind}");
            }
        }
    }
}

#[test]
fn what_was_read_can_be_written_and_read() {
    let model = load("bert-qdq");
    let again = read_again(&model.to_onnx().unwrap(), &folder("bert-qdq"));
    assert_eq!(model.weights().layers, again.weights().layers);
}

/// A graph of a graph: codes and their scales go through unchanged, pruned ones as zeros.
#[test]
fn codes_of_a_file_are_written_as_they_are() {
    for name in ["bert-qdq", "bert-dynamic", "bert-sparse", "distilbert-qdq"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/onnx").join(name);
        let model = Model::open(&folder).unwrap();
        let ids = seeded_ids(model.config().vocab_size, 16, 12, 3);
        let calibrated = model.clone().calibration().options(CalibrationOptions::per_tensor()).run_ids(&ids).unwrap();
        let before = model.codes().unwrap();
        for graph in [model.to_onnx_dynamic().unwrap(), calibrated.to_onnx_qdq().unwrap()] {
            let again = read_again(&graph, &folder);
            let after = again.codes().unwrap();
            for (before, after) in before.layers.iter().zip(&after.layers) {
                for ((before, after), linear) in before.linears.iter().zip(&after.linears).zip(LINEAR_NAMES) {
                    let (before, after) = (before.as_ref().unwrap(), after.as_ref().unwrap());
                    assert_eq!(before.codes, after.codes, "{name}, {linear}");
                    // The scale of a row of zeros says nothing.
                    let rows = before.codes.chunks_exact(before.codes.len() / before.scale.len());
                    for ((a, b), row) in before.scale.iter().zip(&after.scale).zip(rows) {
                        let near = (a / b - 1.0).abs() < 1e-6;
                        assert!(near || row.iter().all(|&code| code == 0), "{name}, {linear}: {a} became {b}");
                    }
                }
            }
        }
    }
}
