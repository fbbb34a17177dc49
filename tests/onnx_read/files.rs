//! Which file is read, and where its configuration is.

use lacuna::errors::WeightError;
use std::fs;

use lacuna::OpenOptions;
use lacuna::errors::ModelError;
use tempfile::TempDir;

use super::*;

/// Puts files of a fixture into a new folder, under other names.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (from, to) in files {
        let to = dir.path().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(folder("bert-qdq").parent().unwrap().join(from), to).unwrap();
    }
    dir
}

const CONFIG: (&str, &str) = ("bert-qdq/config.json", "config.json");
const TOKENIZER: (&str, &str) = ("../heads/bert-fill/tokenizer.json", "tokenizer.json");

#[test]
fn graphs_are_found_in_order() {
    let names =
        ["model.onnx", "onnx/model.onnx", "model_quantized.onnx", "onnx/model_quantized.onnx", "deployment/model.onnx"];
    for (i, name) in names.into_iter().enumerate() {
        // Those that come later are of another model, which does not load.
        let mut files = vec![CONFIG, ("bert-qdq/model.onnx", name)];
        files.extend(names[i + 1..].iter().map(|later| ("electra/model.onnx", *later)));
        let dir = directory(&files);
        let model = Model::open(dir.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(model.codes().is_some(), "{name}");
        assert_eq!(model.weight_files().unwrap().0, [dir.path().join(name)], "{name}");
    }
}

#[test]
fn weight_files_come_before_graphs() {
    let dir = directory(&[CONFIG, ("bert-qdq/model.onnx", "model.onnx")]);
    fs::write(dir.path().join("model.safetensors"), b"damaged").unwrap();
    assert!(matches!(Model::open(dir.path()), Err(ModelError::Weights(WeightError::CheckpointLength { .. }))));
    assert!(Model::open_with(dir.path(), &OpenOptions::default().with_weights("model.onnx")).is_ok());
    fs::rename(dir.path().join("model.onnx"), dir.path().join("other.onnx")).unwrap();
    assert!(Model::open_with(dir.path(), &OpenOptions::default().with_weights("other.onnx")).is_ok());
    assert!(Model::open(dir.path().join("other.onnx")).is_ok());
    assert!(matches!(Model::open(dir.path()), Err(ModelError::Weights(WeightError::CheckpointLength { .. }))));
    fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    let error = Model::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("other.onnx") && error.contains("onnx/model.onnx"), "{error}");
}

#[test]
fn configuration_and_tokenizer_lie_beside_a_graph_or_above() {
    for (graph, config, tokenizer) in [
        ("m.onnx", "config.json", "tokenizer.json"),
        ("a/m.onnx", "config.json", "tokenizer.json"),
        ("a/m.onnx", "a/config.json", "a/tokenizer.json"),
        ("a/m.onnx", "config.json", "a/tokenizer.json"),
    ] {
        let dir = directory(&[(CONFIG.0, config), (TOKENIZER.0, tokenizer), ("bert-qdq/model.onnx", graph)]);
        let model = Model::open(dir.path().join(graph)).unwrap_or_else(|error| panic!("{graph} {config}: {error}"));
        assert!(model.tokenizer().is_some(), "{graph} {tokenizer}");
    }
    // Published sparse models have all of it in a folder of its own.
    let dir = directory(&[(CONFIG.0, "deployment/config.json"), ("bert-qdq/model.onnx", "deployment/model.onnx")]);
    assert!(Model::open(dir.path()).is_ok());
    let dir = directory(&[("bert-qdq/model.onnx", "m.onnx")]);
    assert!(
        matches!(Model::open(dir.path().join("m.onnx")), Err(ModelError::Io { path, .. }) if path.ends_with("config.json"))
    );
}

#[test]
fn external_data_is_read_from_beside_the_graph() {
    let dir = directory(&[("bert/config.json", "config.json"), ("bert/model.onnx", "model.onnx")]);
    assert!(matches!(Model::open(dir.path()), Err(ModelError::Io { path, .. }) if path.ends_with("weights.bin")));
    fs::copy(folder("bert").join("weights.bin"), dir.path().join("weights.bin")).unwrap();
    assert!(Model::open(dir.path()).is_ok());
}

#[test]
fn tensors_are_listed() {
    let (_, tensors) = load("bert-qdq").weight_files().unwrap();
    assert!(tensors.is_sorted_by_key(|tensor| tensor.name.clone()));
    let codes = tensors.iter().find(|tensor| tensor.dtype == "I8" && tensor.shape == [32, 48]).unwrap();
    assert_eq!(codes.bytes, 32 * 48);
}
