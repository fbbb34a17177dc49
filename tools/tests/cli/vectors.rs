//! `lacuna embed`: fewer dimensions and fewer bits.

use std::fs;

use serde_json::Value;

use crate::checkpoint::{HIDDEN, ModelDir};
use crate::{refusal, run_with, stdout};

const INPUT: &[u8] = b"a cat\na dog sits\n\ncat cat dog\n";

fn embed(model: &ModelDir, more: &[&str]) -> Vec<Vec<f32>> {
    let text = stdout(run_with(&[&["embed", "--model", model.path()], more].concat(), INPUT));
    let vector = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        row["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
    };
    text.lines().map(vector).collect()
}

/// The values and the shape of an array of numbers of one or four bytes.
fn npy(model: &ModelDir, more: &[&str]) -> (String, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.npy");
    let args = [&["embed", "--model", model.path(), "--output", path.to_str().unwrap()], more].concat();
    stdout(run_with(&args, INPUT));
    let bytes = fs::read(&path).unwrap();
    (String::from_utf8_lossy(&bytes[10..128]).into_owned(), bytes[128..].to_vec())
}

#[test]
fn the_first_dimensions_are_normalised_again() {
    let model = ModelDir::new();
    let (whole, cut) = (embed(&model, &[]), embed(&model, &["--dimensions", "5"]));
    for (whole, cut) in whole.iter().zip(&cut) {
        let norm = whole[..5].iter().map(|x| x * x).sum::<f32>().sqrt();
        assert_eq!(cut.len(), 5);
        assert!(cut.iter().zip(whole).all(|(cut, whole)| (cut - whole / norm).abs() < 1e-6), "{cut:?}");
    }
    let plain = embed(&model, &["--dimensions", "5", "--no-normalize"]);
    assert!(plain.iter().zip(&whole).all(|(plain, whole)| plain[..] == whole[..5]));
    assert_eq!(embed(&model, &["--truncate-dim", "5"]), cut);
    let (header, bytes) = npy(&model, &["--dimensions", "5"]);
    assert!(header.contains("(4, 5)") && bytes.len() == 4 * 5 * 4, "{header}");
    let more = (HIDDEN + 1).to_string();
    let line = refusal(run_with(&["embed", "--model", model.path(), "--dimensions", &more], INPUT));
    assert!(line.contains(&format!("--dimensions: found {more}; expected at most {HIDDEN}")), "{line}");
}

#[test]
fn precisions_are_those_of_sentence_transformers() {
    let model = ModelDir::new();
    let whole = embed(&model, &[]);
    let column = |i: usize| whole.iter().map(move |row| row[i]);
    let least: Vec<f32> = (0..HIDDEN).map(|i| column(i).fold(f32::INFINITY, f32::min)).collect();
    let largest: Vec<f32> = (0..HIDDEN).map(|i| column(i).fold(f32::NEG_INFINITY, f32::max)).collect();
    let code = |i: usize, x: f32| (x - least[i]) / ((largest[i] - least[i]) / 255.0);
    let codes = |offset: f32| -> Vec<Vec<f32>> {
        whole.iter().map(|row| row.iter().enumerate().map(|(i, x)| code(i, *x).floor() - offset).collect()).collect()
    };
    let (uint8, int8) = (codes(0.0), codes(128.0));
    assert_eq!(embed(&model, &["--precision", "uint8", "--quiet"]), uint8);
    assert_eq!(embed(&model, &["--precision", "int8"]), int8);
    let (header, bytes) = npy(&model, &["--precision", "int8"]);
    assert!(header.contains("'|i1'") && header.contains(&format!("(4, {HIDDEN})")), "{header}");
    let flat: Vec<f32> = bytes.iter().map(|byte| f32::from(byte.cast_signed())).collect();
    assert_eq!(flat, int8.concat());

    let bits: Vec<Vec<f32>> = whole
        .iter()
        .map(|row| {
            row.chunks(8).map(|eight| eight.iter().fold(0, |byte, x| byte * 2 + u8::from(*x > 0.0)).into()).collect()
        })
        .collect();
    assert_eq!(embed(&model, &["--precision", "ubinary"]), bits);
    let signed: Vec<Vec<f32>> = bits.iter().map(|row| row.iter().map(|byte| byte - 128.0).collect()).collect();
    assert_eq!(embed(&model, &["--precision", "binary"]), signed);
    assert!(npy(&model, &["--precision", "ubinary"]).0.contains(&format!("(4, {})", HIDDEN / 8)));

    // Ranges of a file: rows are written at once, and are the same.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ranges.npy");
    let dict = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': (2, {HIDDEN}), }}");
    let mut file = [&b"\x93NUMPY\x01\x00\x76\x00"[..], format!("{dict:<117}\n").as_bytes()].concat();
    file.extend(least.iter().chain(&largest).flat_map(|x| x.to_le_bytes()));
    fs::write(&path, file).unwrap();
    let ranges = ["--precision", "uint8", "--ranges", path.to_str().unwrap()];
    assert_eq!(embed(&model, &ranges), uint8);

    let refused = |more: &[&str]| refusal(run_with(&[&["embed", "--model", model.path()], more].concat(), INPUT));
    assert!(refused(&["--precision", "binary", "--dimensions", "12"]).contains("a multiple of 8 features"));
    assert!(refused(&["--ranges", path.to_str().unwrap()]).contains("--precision int8 or uint8"));
    assert!(refused(&["--precision", "int8", "--ranges", "/does/not/exist"]).contains("/does/not/exist: cannot read"));
    let out = dir.path().join("out.jsonl");
    assert!(refused(&["--precision", "int8", "--resume", "--output", out.to_str().unwrap()]).contains("--ranges"));
    let out = dir.path().join("out.npy");
    let line = refused(&["--precision", "binary", "--on-error", "null", "--output", out.to_str().unwrap()]);
    assert!(line.contains("stop or skip"), "{line}");
}

/// As `truncate_dim` of sentence-transformers: the model's own modules run before.
#[test]
fn cut_embeddings_keep_the_model_s_own_normalisation() {
    let model = ModelDir::new();
    let pooling = serde_json::json!({"word_embedding_dimension": HIDDEN, "pooling_mode_mean_tokens": true});
    model.write("1_Pooling/config.json", &pooling.to_string());
    let module = |index: usize, path: &str, name: &str| serde_json::json!({"idx": index, "name": index.to_string(), "path": path, "type": format!("sentence_transformers.models.{name}")});
    let modules =
        [module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling"), module(2, "2_Normalize", "Normalize")];
    model.write("modules.json", &serde_json::json!(modules).to_string());
    let whole = embed(&model, &[]);
    let norm = whole[0].iter().map(|x| x * x).sum::<f32>();
    assert!((norm - 1.0).abs() < 1e-5, "{norm}");
    let cut = embed(&model, &["--dimensions", "8", "--no-normalize"]);
    for (cut, whole) in cut.iter().zip(&whole) {
        assert_eq!(cut[..], whole[..8]);
    }
}

#[test]
fn prompts_are_put_before_every_text() {
    let model = ModelDir::new();
    let of = |more: &[&str], input: &str| -> Value {
        let text = stdout(run_with(&[&["embed", "--model", model.path()], more].concat(), input.as_bytes()));
        serde_json::from_str::<Value>(&text).unwrap()["embedding"].take()
    };
    let (plain, with) = (of(&[], "sits"), of(&[], "cat sits"));
    assert_ne!(plain, with);
    assert_eq!(of(&["--prompt", "cat "], "sits"), with);
    let line = refusal(run_with(&["embed", "--model", model.path(), "--prompt-name", "query"], b"sits"));
    assert!(line.contains("\"query\""), "{line}");
    let settings = serde_json::json!({"prompts": {"query": "cat ", "none": ""}, "default_prompt_name": "query"});
    model.write("config_sentence_transformers.json", &settings.to_string());
    // The model is calibrated with its default prompt.
    let (plain, with) = (of(&["--prompt", ""], "sits"), of(&["--prompt", ""], "cat sits"));
    assert_eq!(of(&["--prompt", "cat "], "sits"), with);
    assert_eq!(of(&["--prompt-name", "query"], "sits"), with);
    assert_eq!(of(&[], "sits"), with, "the default prompt");
    assert_eq!(of(&["--prompt-name", "none"], "sits"), plain);
    let line = refusal(run_with(&["embed", "--model", model.path(), "--prompt-name", "document"], b"sits"));
    assert!(line.contains("\"document\"") && line.contains("\"query\""), "{line}");
}
