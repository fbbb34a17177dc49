//! ONNX graphs as models.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::{refuses, run, run_with, stdout};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/onnx").join(name)
}

#[test]
fn inspect_takes_a_folder_and_a_graph() {
    for path in [fixture("bert-sparse"), fixture("bert-sparse/model.onnx")] {
        let json: Value =
            serde_json::from_str(&stdout(run(&["inspect", "--model", path.to_str().unwrap(), "--json"]))).unwrap();
        assert_eq!(json["weights"], serde_json::json!(["model.onnx"]));
        let notes = json["notes"].to_string();
        assert!(notes.contains("the s8 codes of 6 of 6 linear layers are those of the file"), "{notes}");
        assert!(notes.contains("4 of 4 inputs of linear layers"), "{notes}");
        let linears = json["linears"].as_array().unwrap();
        assert!(linears.iter().any(|linear| linear["form"] == "sparse 1x4"), "{linears:?}");
        assert!(linears.iter().all(|linear| linear["zeros_1x4"].as_f64().unwrap() > 0.85), "{linears:?}");
        let tensors = json["tensors"].as_array().unwrap();
        assert!(tensors.iter().any(|tensor| tensor["dtype"] == "I8"), "{tensors:?}");
    }
    refuses(&["inspect", "--model", fixture("nowhere.onnx").to_str().unwrap()], "config.json");
    let folder = fixture("bert-sparse");
    let args = ["inspect", "--model", folder.to_str().unwrap(), "--weights"];
    let text = stdout(run(&[&args[..], &["model.onnx"]].concat()));
    assert!(text.contains("bert-sparse"), "{text}");
    refuses(&[&args[..], &["config.json"]].concat(), "config.json");
    refuses(&["bench", "model", "--arch", "minilm", "--weights", "x.onnx"], "--model DIR or --from-hub NAME with it");
}

#[test]
fn graphs_embed_and_classify() {
    let dir = TempDir::new().unwrap();
    let tokenizer = fixture("../heads/bert-classify/tokenizer.json");
    fs::copy(&tokenizer, dir.path().join("tokenizer.json")).unwrap();
    fs::create_dir(dir.path().join("onnx")).unwrap();
    for (name, command) in [("bert-qdq", "embed"), ("bert-classify", "classify")] {
        fs::copy(fixture(name).join("config.json"), dir.path().join("config.json")).unwrap();
        let graph = dir.path().join("onnx/model.onnx");
        fs::copy(fixture(name).join("model.onnx"), &graph).unwrap();
        for model in [dir.path(), &graph] {
            // Words that every vocabulary of the fixtures has; the model knows 48 tokens.
            let text = stdout(run_with(&[command, "--model", model.to_str().unwrap()], b"?\n. !\n"));
            let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(lines.len(), 2, "{text}");
        }
    }
}
