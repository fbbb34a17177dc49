//! `lacuna export`.

use std::fs;

use lacuna::calibration::CalibrationOptions;
use lacuna::{Block, Model, Preset};
use serde_json::{Value, json};

use crate::checkpoint::{ModelDir, files};
use crate::{keys, lacuna, refusal, refuses, run, stdout};

const SENTENCES: [&str; 3] = ["a cat sits", "a dog", "dog sits a cat"];

#[test]
fn the_file_is_what_the_library_makes() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let (out, sentences) = (dir.path().join("out.onnx"), dir.path().join("sentences.txt"));
    fs::write(&sentences, SENTENCES.join("\n")).unwrap();
    let read = || Model::open(model.path()).unwrap();
    let pruned = || read().prune(Block::B1x4, 0.5).unwrap();
    let calibrated = pruned().calibration().options(CalibrationOptions::per_tensor()).run(SENTENCES).unwrap();
    for (more, expected) in [
        (&[][..], read().to_onnx()),
        (&["--int8", "dynamic"], read().to_onnx_dynamic()),
        (&["--sparsity", "0.5", "--block", "1x4", "--threads", "1"], pruned().to_onnx()),
        (
            &["--sparsity", "0.5", "--block", "1x4", "--int8", "qdq", "--calibrate", sentences.to_str().unwrap()],
            calibrated.to_onnx_qdq(),
        ),
    ] {
        let expected = expected.unwrap();
        let args = [&["export", "onnx", "--model", model.path()], more, &[out.to_str().unwrap()]].concat();
        let output = run(&args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(stdout(output), "", "{more:?}");
        assert!(fs::read(&out).unwrap() == expected.to_bytes(), "{more:?}: other bytes");
        let summary = expected.summary();
        let counts = format!("{} nodes, {} initialisers, opset 17, IR 8", summary.nodes, summary.initializers);
        assert!(said.starts_with(out.to_str().unwrap()) && said.contains(&counts), "{said}");
        assert_eq!(files(dir.path()), ["out.onnx", "sentences.txt"]);
    }
}

#[test]
fn standard_output_takes_it_too() {
    let model = ModelDir::new();
    let output = run(&["export", "onnx", "--model", model.path(), "-"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout == Model::open(model.path()).unwrap().to_onnx().unwrap().to_bytes());
}

#[test]
fn presets_need_no_files() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.onnx");
    let args = ["export", "onnx", "--arch", "bert-mini", "--sparsity", "0.75", "--json", out.to_str().unwrap()];
    for (more, arithmetic, calibration) in [
        (&[][..], "f32", Value::Null),
        (&["--int8", "dynamic"], "int8, dynamic", Value::Null),
        (&["--int8", "qdq"], "int8, static", json!("random tokens")),
    ] {
        let output = run(&[&args[..], more].concat());
        let said: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(stdout(output), "");
        let expected = [
            "arithmetic",
            "bytes",
            "calibration",
            "file",
            "initializers",
            "ir_version",
            "linear_weights",
            "linear_zeros",
            "model",
            "nodes",
            "opset",
            "remarks",
            "sparsity",
        ];
        assert_eq!(keys(&said), expected);
        assert_eq!((&said["model"], &said["sparsity"]), (&json!("bert-mini"), &json!(0.75)));
        assert_eq!((&said["arithmetic"], &said["calibration"]), (&json!(arithmetic), &calibration));
        assert_eq!((&said["opset"], &said["ir_version"]), (&json!(17), &json!(8)));
        assert_eq!(said["bytes"], fs::metadata(&out).unwrap().len());
        let config = Preset::BertMini.config();
        assert_eq!(said["linear_weights"], 12 * config.layers * config.hidden_size * config.hidden_size);
        let zeros = said["linear_zeros"].as_f64().unwrap() / said["linear_weights"].as_f64().unwrap();
        assert!((0.75..0.77).contains(&zeros), "{said}");
    }
    // Equal seeds, equal files.
    let bytes = |seed: &str| {
        stdout(run(&[&args[..], &["--seed", seed]].concat()));
        fs::read(&out).unwrap()
    };
    assert!(bytes("1") == bytes("1") && bytes("1") != bytes("2"));
}

#[test]
fn impossible_exports_are_refused_and_leave_nothing() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let out = dir.path().join("out.onnx");
    let out = out.to_str().unwrap();
    let export = ["export", "onnx", "--model", model.path()];
    let with = |more: &[&'static str]| [&export[..], more, &[out]].concat();
    refuses(&export, "<OUT>");
    refuses(&["export", "onnx", out], "--model <DIR>");
    refuses(&with(&["--arch", "minilm"]), "cannot be used with");
    refuses(&with(&["--seed", "2"]), "cannot be used with");
    refuses(&with(&["--int8", "static"]), "qdq, dynamic");
    refuses(&with(&["--calibrate", "/does/not/exist"]), "expected --int8 qdq with it");
    refuses(&with(&["--int8", "dynamic", "--calibrate", "/does/not/exist"]), "expected --int8 qdq with it");
    refuses(&with(&["--int8", "qdq", "--calibrate", "/does/not/exist"]), "/does/not/exist: cannot read");
    refuses(&with(&["--sparsity", "1.5"]), "0 <= sparsity < 1");
    refuses(
        &["export", "onnx", "--arch", "bert-mini", "--int8", "qdq", "--calibrate", "x", out],
        "cannot be used with",
    );
    refuses(&["export", "onnx", "--model", "/does/not/exist", out], "/does/not/exist/config.json: cannot open");
    for impossible in [dir.path().join("no/such/directory.onnx"), dir.path().to_owned()] {
        let line = refusal(lacuna(&export).arg(&impossible).output().unwrap());
        assert!(line.contains("cannot create"), "{line}");
    }
    model.remove("tokenizer.json");
    let sentences = dir.path().join("sentences.txt");
    fs::write(&sentences, SENTENCES.join("\n")).unwrap();
    let args = [&export[..], &["--int8", "qdq", "--calibrate", sentences.to_str().unwrap(), out]].concat();
    refuses(&args, "no tokenizer");
    assert_eq!(files(dir.path()), ["sentences.txt"]);
}

/// A graph has no head, no prompt, and a pooling that may be assumed.
#[test]
fn what_a_graph_does_not_have_is_said() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let out = dir.path().join("out.onnx");
    let said = |model: &str, more: &[&str]| {
        let output = run(&[&["export", "onnx", "--model", model], more, &[out.to_str().unwrap()]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        stdout(output);
        said
    };
    let prompts = json!({"prompts": {"query": "a dog "}, "default_prompt_name": "query"});
    model.write("config_sentence_transformers.json", &prompts.to_string());
    let words = said(model.path(), &[]);
    assert!(words.contains("\npooling: mean (assumed: no 1_Pooling)\n"), "{words}");
    assert!(words.contains("\nprompt: \"a dog \" is not in the graph: put it before every text"), "{words}");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/heads/bert-classify");
    let json: Value = serde_json::from_str(&said(folder.to_str().unwrap(), &["--json"])).unwrap();
    let remark = "head: BertForSequenceClassification is left out: the graph gives hidden states and embeddings";
    assert_eq!(json["remarks"][0], remark);
}
