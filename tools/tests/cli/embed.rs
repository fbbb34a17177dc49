//! `lacuna embed`.

use std::fs;

use serde_json::{Value, json};

use crate::checkpoint::{HIDDEN, LIMIT, ModelDir, files};
use crate::{keys, lacuna, refusal, run, run_with, stdout, stopped};

const SENTENCES: &str = "A cat sits.\n\na dog";

fn rows(text: &str) -> Vec<(String, Vec<f32>)> {
    let parse = |line: &str| {
        assert!(line.starts_with(r#"{"text":""#), "{line}");
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!(row.as_object().unwrap().len(), 2);
        let embedding = row["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect();
        (row["text"].as_str().unwrap().to_owned(), embedding)
    };
    text.lines().map(parse).collect()
}

#[test]
fn one_row_per_line_with_the_same_bits_on_every_tier_and_form() {
    let model = ModelDir::new();
    let embed = |more: &[&str]| {
        let output = run_with(&[&["embed", "--model", model.path()], more].concat(), SENTENCES.as_bytes());
        stdout(output)
    };
    let text = embed(&[]);
    let rows = rows(&text);
    let texts: Vec<&str> = rows.iter().map(|row| row.0.as_str()).collect();
    assert_eq!(texts, ["A cat sits.", "", "a dog"]);
    assert!(rows.iter().all(|row| row.1.len() == HIDDEN && row.1.iter().all(|x| x.is_finite())), "{text}");
    assert_ne!(rows[0].1, rows[2].1);
    for more in [&["--tier", "portable"][..], &["--form", "dense"], &["--form", "sparse"], &["--threads", "2"]] {
        assert_eq!(embed(more), text, "{more:?}");
    }
    assert_ne!(embed(&["--sparsity", "0.5"]), text);
}

#[test]
fn npy_holds_the_numbers_of_jsonl() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let (input, output) = (dir.path().join("in.txt"), dir.path().join("out.npy"));
    fs::write(&input, SENTENCES).unwrap();
    let embed = ["embed", "--model", model.path(), "--input", input.to_str().unwrap()];
    let expected = rows(&stdout(run(&embed)));
    let npy = [&embed[..], &["--format", "npy", "--output", output.to_str().unwrap()]].concat();
    assert_eq!(stdout(run(&npy)), "");
    let bytes = fs::read(&output).unwrap();
    assert!(bytes.starts_with(b"\x93NUMPY\x01\x00"));
    let header = String::from_utf8_lossy(&bytes[10..128]).trim_end().to_owned();
    assert_eq!(header, format!("{{'descr': '<f4', 'fortran_order': False, 'shape': (3, {HIDDEN}), }}"));
    let values: Vec<f32> = bytes[128..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(values, expected.into_iter().flat_map(|row| row.1).collect::<Vec<f32>>());
    assert_eq!(files(dir.path()), ["in.txt", "out.npy"]);
}

#[test]
fn remarks_go_to_standard_error() {
    let model = ModelDir::new();
    let long = "cat ".repeat(LIMIT + 3);
    let input = format!("a cat\n{long}\n");
    let output = run_with(&["embed", "--model", model.path(), "--verify", "--report"], input.as_bytes());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(rows(&stdout(output)).len(), 2);
    assert!(said.contains(" of the built-in collection and ") && said.contains("--calibrate FILE"), "{said}");
    assert!(said.contains("\nsaturation   "), "{said}");
    assert!(said.contains("line 2: 17 tokens, truncated: the model takes 12"), "{said}");
    assert!(said.contains("cosine to the f32 reference: mean 0.9"), "{said}");
    assert!(said.contains("1.down"), "{said}");
}

#[test]
fn remarks_as_json_are_one_object() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let calibration = dir.path().join("calibration.csv");
    fs::write(&calibration, "a cat,x\n\"a dog, sits\",y\n").unwrap();
    let input = "cat ".repeat(LIMIT + 3);
    let calibrate = ["--calibrate", calibration.to_str().unwrap()];
    let args = [&["embed", "--model", model.path(), "--verify", "--json"], &calibrate[..]].concat();
    let output = run_with(&args, input.as_bytes());
    let said: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(
        keys(&said),
        [
            "calibration",
            "features",
            "remarks",
            "report",
            "saturation",
            "seconds",
            "sentences",
            "texts",
            "tier",
            "tokens",
            "truncated",
            "truncated_count",
            "verify",
            "without_result"
        ]
    );
    assert_eq!(said["remarks"], json!(["pooling: mean (assumed: no 1_Pooling)"]));
    assert_eq!(said["calibration"], json!({"source": calibration, "texts": 2, "of": 2}));
    assert_eq!(said["truncated"], json!([{"line": 1, "tokens": 17, "limit": 12}]));
    assert!(said["verify"]["mean"].as_f64().unwrap() > 0.9);
    assert_eq!(said["report"], Value::Null);
}

#[test]
fn fields_of_json_lines_go_through_as_they_stand() {
    let model = ModelDir::new();
    let embed =
        |more: &[&str], input: &str| run_with(&[&["embed", "--model", model.path()], more].concat(), input.as_bytes());
    let plain = rows(&stdout(embed(&[], "A cat sits.\na dog")));
    let first = r#"{"id": 1e3, "text": "A cat sits.", "more": {"z": [1,2], "a": "\u00e9"}"#;
    let input = format!("  {first} }}\r\n{{\"text\":\"a dog\"}}\n");
    let text = stdout(embed(&["--jsonl"], &input));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with(&format!("{first},\"embedding\":[")), "{text}");
    for (line, (text, embedding)) in lines.iter().zip(&plain) {
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!(row["text"], text.as_str());
        let found: Vec<f32> = row["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect();
        assert_eq!(&found, embedding);
    }
    for (input, expected) in [
        (r#"{"txt": "a"}"#, "missing field `text`"),
        (r#"{"text": 1}"#, "expected a string"),
        (r#"["a"]"#, "no JSON object"),
        (r#"{"text": "a", "embedding": []}"#, "a field \"embedding\""),
        (r#"{"text": "a", "text": "b"}"#, "duplicate field"),
        ("a cat", "no JSON object"),
        ("", "no JSON object"),
    ] {
        let (written, line) =
            stopped(embed(&["--on-error", "stop", "--jsonl"], &format!("{{\"text\": \"a\"}}\n{input}\n")));
        assert_eq!(written.lines().count(), 1);
        assert!(line.contains(expected) && line.contains("standard input: line 2"), "{input}: {line}");
    }
}

#[test]
fn pooling_is_what_the_files_say_unless_the_options_do() {
    let model = ModelDir::new();
    let embed =
        |more: &[&str]| rows(&stdout(run_with(&[&["embed", "--model", model.path()], more].concat(), b"a cat sits")));
    let norm = |rows: &[(String, Vec<f32>)]| rows[0].1.iter().map(|x| x * x).sum::<f32>().sqrt();
    let mean = embed(&[]);
    assert_eq!(embed(&["--pooling", "mean", "--no-normalize"]), mean);
    let (cls, max) = (embed(&["--pooling", "cls"]), embed(&["--pooling", "max"]));
    assert!(cls != mean && max != mean && cls != max);
    assert!((norm(&embed(&["--normalize"])) - 1.0).abs() < 1e-5 && (norm(&mean) - 1.0).abs() > 1e-3);
    assert!(max[0].1.iter().zip(&mean[0].1).all(|(max, mean)| max >= mean));
    // The last of the two counts.
    assert_eq!(embed(&["--normalize", "--no-normalize"]), mean);
    let error = refusal(run(&["embed", "--model", model.path(), "--pooling", "sum"]));
    assert!(error.contains("mean, cls, max"), "{error}");
}

#[test]
fn bad_input_leaves_no_output() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let output = dir.path().join("out.jsonl");
    let args = ["embed", "--model", model.path(), "--output", output.to_str().unwrap()];
    let refused = |input: &[u8]| refusal(run_with(&args, input));
    assert!(refused(b"not \xff fine\na cat\n").contains("standard input: line 1: invalid UTF-8 at byte 5"));
    let missing = [&args[..], &["--input", "/does/not/exist"]].concat();
    assert!(refusal(run(&missing)).contains("/does/not/exist: cannot read"));
    let missing = [&args[..], &["--calibrate", "/does/not/exist.txt"]].concat();
    assert!(refusal(run_with(&missing, b"a cat")).contains("/does/not/exist.txt: cannot read"));
    assert_eq!(files(dir.path()), [""; 0]);

    fs::write(&output, "precious").unwrap();
    assert!(refused(b"\xff").contains("invalid UTF-8"));
    assert_eq!(fs::read_to_string(&output).unwrap(), "precious");
    assert_eq!(files(dir.path()), ["out.jsonl"]);
}

#[test]
fn impossible_outputs_are_refused_before_the_work() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let refused = |output: &std::path::Path| {
        refusal(lacuna(&["embed", "--model", model.path(), "--output"]).arg(output).output().unwrap())
    };
    assert!(refused(&dir.path().join("no/such/directory")).contains("cannot create"));
    assert!(refused(dir.path()).contains("cannot create"));
}

#[test]
fn damaged_models_are_named() {
    let bias = "encoder.layer.1.output.dense.bias";
    for (expected, model) in [
        ("architecture", ModelDir::with_config("model_type", json!("gpt2"))),
        ("hidden_act", ModelDir::with_config("hidden_act", json!("silu"))),
        ("num_attention_heads", ModelDir::with_config("num_attention_heads", json!(3))),
        ("wrong shape", ModelDir::with_config("hidden_size", json!(32))),
        ("model.safetensors", ModelDir::with_bytes(|bytes| bytes.truncate(bytes.len() - 1))),
        ("model.safetensors", ModelDir::with_bytes(|bytes| bytes.truncate(5))),
        ("model.safetensors", ModelDir::with_bytes(Vec::clear)),
        ("model.safetensors", ModelDir::with_bytes(|bytes| bytes[..8].fill(0xff))),
        ("model.safetensors", ModelDir::with_bytes(|bytes| bytes[8] = b'x')),
        (bias, ModelDir::with_tensors(|tensors| tensors.retain(|t| t.0 != bias))),
        (bias, ModelDir::with_tensors(|tensors| find(tensors, bias).1 = "I32")),
        (bias, ModelDir::with_tensors(|tensors| find(tensors, bias).2 = vec![HIDDEN / 2, 2])),
        (bias, ModelDir::with_tensors(|tensors| find(tensors, bias).3[..4].copy_from_slice(&f32::NAN.to_le_bytes()))),
        (
            bias,
            ModelDir::with_tensors(|tensors| {
                find(tensors, bias).3[4..8].copy_from_slice(&f32::INFINITY.to_le_bytes());
            }),
        ),
    ] {
        for command in ["embed", "inspect"] {
            let line = refusal(run_with(&[command, "--model", model.path()], b"a cat"));
            assert!(line.contains(expected) && line.contains(model.path()), "{expected}: {line}");
        }
    }
    let line = refusal(run(&["embed", "--model", "/does/not/exist"]));
    assert!(line.contains("/does/not/exist/config.json: cannot read"), "{line}");

    let model = ModelDir::new();
    model.remove("tokenizer.json");
    let line = refusal(run_with(&["embed", "--model", model.path()], b"a cat"));
    assert!(line.contains("no tokenizer"), "{line}");
    model.remove("model.safetensors");
    let line = refusal(run_with(&["embed", "--model", model.path()], b"a cat"));
    assert!(line.contains("no weights: found nothing") && line.contains("model.safetensors, "), "{line}");
}

fn find<'a>(tensors: &'a mut [crate::checkpoint::Tensor], name: &str) -> &'a mut crate::checkpoint::Tensor {
    tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap()
}
