//! `lacuna pack`, and its files in place of model directories.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{lacuna, refusal, refuses, run, run_with, stdout};

fn model(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/heads").join(name);
    folder.to_str().unwrap().to_owned()
}

/// A folder with calibration texts, and the path of a packed file in it.
struct Packed {
    folder: tempfile::TempDir,
}

impl Packed {
    fn new(name: &str, more: &[&str]) -> Packed {
        let packed = Packed { folder: tempfile::tempdir().unwrap() };
        fs::write(packed.texts(), "The cat sat on the mat.\nIt was dull!\nthe river\n").unwrap();
        let arguments = ["pack", "--model", &model(name), "--calibrate", &packed.texts(), "--output", &packed.path()];
        let text = stdout(run(&[&arguments, more].concat()));
        assert!(text.contains("packed model") && text.contains("weights"), "{text}");
        packed
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn texts(&self) -> String {
        self.at("texts.txt")
    }

    fn path(&self) -> String {
        self.at("model.lacuna")
    }
}

/// The same lines as from the directory, calibrated on the same texts.
fn same(command: &[&str], name: &str, input: &str) {
    let packed = Packed::new(name, &[]);
    let line = |more: &[&str]| stdout(run_with(&[command, more].concat(), input.as_bytes()));
    let expected = line(&["--model", &model(name), "--calibrate", &packed.texts()]);
    assert_eq!(line(&["--model", &packed.path()]), expected, "{name}");
    let portable = line(&["--model", &packed.path(), "--tier", "portable"]);
    assert_eq!(portable, expected, "{name}");
}

#[test]
fn activations_in_seven_bits_are_packed_and_said() {
    let name = "bert-classify";
    let packed = Packed::new(name, &["--activation-bits", "7"]);
    let embed = |more: &[&str]| stdout(run_with(&[&["embed"], more].concat(), b"The cat sat on the mat.\n"));
    let seven = embed(&["--model", &model(name), "--calibrate", &packed.texts(), "--activation-bits", "7"]);
    assert_eq!(embed(&["--model", &packed.path()]), seven);
    assert_eq!(embed(&["--model", &packed.path(), "--tier", "portable"]), seven);
    assert_ne!(embed(&["--model", &model(name), "--calibrate", &packed.texts()]), seven, "eight bits");

    let inspected: Value =
        serde_json::from_str(&stdout(run(&["inspect", "--model", &packed.path(), "--json"]))).unwrap();
    assert_eq!((&inspected["activation_bits"], &inspected["report"]["activation_bits"]), (&7.into(), &7.into()));
    let text = stdout(run(&["inspect", "--model", &packed.path()]));
    assert!(text.contains("codes of 7 bits") && text.contains("gemm-u7s8") | text.contains("spmm-u7s8"), "{text}");
    let line = refusal(run_with(&["embed", "--model", &packed.path(), "--activation-bits", "7"], b"a cat"));
    assert!(line.contains("--activation-bits"), "{line}");
}

#[test]
fn every_command_takes_a_packed_model() {
    let text = "The cat sat on the mat.\nIt was dull!\n";
    same(&["embed"], "bert-tag", text);
    same(&["embed", "--pooling", "cls", "--normalize"], "bert-tag", text);
    same(&["classify"], "bert-classify", text);
    same(&["rank", "--query", "Where?"], "bert-rank", text);
    same(&["tag"], "distilbert-tag", text);
    same(&["answer", "--question", "Where did the cat sit?"], "roberta-answer", text);
    same(&["fill"], "bert-fill", "The [MASK] sat.\n");
}

#[test]
fn what_needs_f32_weights_or_is_decided_is_refused() {
    let packed = Packed::new("bert-classify", &["--sparsity", "0.5", "--form", "sparse"]);
    let (path, texts) = (packed.path(), packed.texts());
    let embed = |more: &[&str]| refusal(run_with(&[&["embed", "--model", &path], more].concat(), b"a cat"));
    for (more, option) in [
        (&["--sparsity", "0.9"][..], "--sparsity"),
        (&["--verify"], "--verify"),
        (&["--calibrate", &texts], "--calibrate"),
    ] {
        let line = embed(more);
        assert!(line.contains(option) && line.contains("needs the f32 weights"), "{line}");
    }
    for (more, option) in [
        (&["--form", "dense"][..], "--form: found dense"),
        (&["--tune", "1"], "--tune: found 1"),
        (&["--tuning", &texts], "--tuning: found"),
        (&["--sentences", "9"], "--sentences: found 9"),
        (&["--weights", "x"], "--weights: found x"),
    ] {
        let line = embed(more);
        assert!(line.contains(option) && line.contains("pack the model again"), "{line}");
    }
    assert!(embed(&["--offline"]).contains("--offline: found no --from-hub"));
    for command in [&["inspect", "--model", &path][..], &["bench", "text", "--model", &path]] {
        refuses(&[command, &["--weights", "x"]].concat(), "--weights: found x");
    }
    let line = refusal(run_with(&["tag", "--model", &path], b"a cat"));
    assert!(line.contains("another head") && line.contains("model.lacuna"), "{line}");
    // Commands that work on f32 weights say where those are.
    for command in [
        &["export", "onnx", "--model", &path, &packed.at("x.onnx")][..],
        &["export", "onnx", "--model", &path, "--int8", "qdq", "--calibrate", &texts, &packed.at("x.onnx")],
        &["pack", "--model", &path, "--calibrate", &texts, "--output", &packed.at("y.lacuna")],
        &["calibrate", "--model", &path, "--calibrate", &texts],
        &["compare", "model", "--model", &path],
        &["compare", "sweep", "--model", &path],
    ] {
        let line = refusal(run(command));
        assert!(line.contains("needs the f32 weights"), "{line}");
    }
    assert_eq!(fs::read_dir(packed.folder.path()).unwrap().count(), 2, "texts and model");
}

#[test]
fn inspect_lists_sections_and_kernels() {
    let packed = Packed::new("bert-fill", &["--sparsity", "0.5"]);
    let text = stdout(run(&["inspect", "--model", &packed.path()]));
    for expected in ["BertForMaskedLM", "50 % of 4x1 blocks", "tokenizer", "layers.0.q.", "word", "0.up", "manifest"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let json: Value = serde_json::from_str(&stdout(run(&["inspect", "--model", &packed.path(), "--json"]))).unwrap();
    let sections = json["sections"].as_array().unwrap();
    let sum: u64 = sections.iter().map(|section| section["bytes"].as_u64().unwrap()).sum();
    assert!(sum < json["bytes"].as_u64().unwrap());
    assert_eq!(json["bytes"].as_u64().unwrap(), fs::metadata(packed.path()).unwrap().len());
    assert_eq!(json["report"]["linears"].as_array().unwrap().len(), 12);
    assert_eq!(json["head"], "BertForMaskedLM");

    let open = stdout(run(&["bench", "open", "--model", &packed.path(), "--repeats", "2", "--json"]));
    let open: Value = serde_json::from_str(&open).unwrap();
    assert!(open["total_ms"].as_f64().unwrap() > 0.0);
    let phases: Vec<&str> = open["phases"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(phases, ["map", "verify", "plan", "emit", "seal"]);
    assert!(stdout(run(&["bench", "open", "--model", &packed.path(), "--repeats", "1"])).contains("total ms"));
}

#[test]
fn damaged_files_are_one_line() {
    let packed = Packed::new("bert-classify", &[]);
    let mut bytes = fs::read(packed.path()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(packed.at("damaged.lacuna"), &bytes).unwrap();
    fs::write(packed.at("short.lacuna"), &bytes[..middle]).unwrap();
    fs::write(packed.at("text.lacuna"), "nothing").unwrap();
    for (name, expected) in [
        ("damaged.lacuna", "damaged between bytes"),
        ("short.lacuna", "by its own header"),
        ("text.lacuna", "not a packed model"),
        ("absent.lacuna", "absent.lacuna: cannot open"),
    ] {
        refuses(&["inspect", "--model", &packed.at(name)], expected);
    }
}

#[test]
fn packing_says_what_is_wrong_before_it_works() {
    let folder = tempfile::tempdir().unwrap();
    let texts: PathBuf = folder.path().join("texts.txt");
    fs::write(&texts, "a cat\n").unwrap();
    let (texts, from) = (texts.to_str().unwrap(), model("bert-classify"));
    let output = |path: &str| refusal(run(&["pack", "--model", &from, "--calibrate", texts, "--output", path]));
    assert!(output(folder.path().to_str().unwrap()).contains("cannot create"));
    assert!(output(folder.path().join("no/where").to_str().unwrap()).contains("cannot create"));
    assert!(output("-").contains("--output: found standard output"));
    let to = folder.path().join("x.lacuna");
    let json = stdout(
        lacuna(&["pack", "--model", &from, "--calibrate", texts, "--output", to.to_str().unwrap(), "--json"])
            .output()
            .unwrap(),
    );
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["bytes"].as_u64().unwrap(), fs::metadata(&to).unwrap().len());
    assert_eq!(json["head"], "BertForSequenceClassification");
}
