//! `lacuna calibrate`, and the schemes of `lacuna evaluate`.

use std::fs;

use lacuna_jit::Avx512Bf16;
use serde_json::Value;

use crate::checkpoint::ModelDir;
use crate::{generates_avx512, keys, refuses, run, stdout};

/// A file of sentences, the first column of which are `count` different ones.
fn sentences(dir: &tempfile::TempDir, count: usize) -> String {
    let words = ["a", "cat", "sits", "dog"];
    let sentence = |i: usize| (0..2 + i % 7).map(|j| words[(i + j * (i / 4 + 1)) % 4]).collect::<Vec<_>>().join(" ");
    let path = dir.path().join("sentences.txt");
    fs::write(&path, (0..count).map(sentence).collect::<Vec<_>>().join("\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Whether the tier that the command takes by itself runs layers in bf16 here.
fn runs_bf16() -> bool {
    !generates_avx512() || Avx512Bf16::detect().is_some()
}

#[test]
fn seven_bits_are_said_and_cost_accuracy() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let file = sentences(&dir, 40);
    let args = ["calibrate", "--model", model.path(), "--calibrate", &file];
    let json = |more: &[&str]| -> Value {
        serde_json::from_str(&stdout(run(&[&args[..], &["--json"], more].concat()))).unwrap()
    };
    let [eight, seven] = [json(&[]), json(&["--activation-bits", "7"])];
    assert_eq!((&eight["activation_bits"], &seven["activation_bits"]), (&8.into(), &7.into()));
    let cosine = |json: &Value| json["cosine_mean"].as_f64().unwrap();
    assert!(cosine(&seven) < cosine(&eight) && cosine(&seven) > 0.98, "{} and {}", cosine(&seven), cosine(&eight));
    let text = stdout(run(&[&args[..], &["--activation-bits", "7"]].concat()));
    assert!(text.contains("linear layers read codes of 7 bits"), "{text}");
    refuses(&[&args[..], &["--activation-bits", "6"]].concat(), "expected 7 or 8");
}

#[test]
fn the_report_has_the_worst_tensors_first() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let file = sentences(&dir, 40);
    let args = ["calibrate", "--model", model.path(), "--calibrate", &file, "--report"];
    let json: Value = serde_json::from_str(&stdout(run(&[&args[..], &["--json"]].concat()))).unwrap();
    assert_eq!((&json["sequences"], &json["held_out"], &json["choice"]), (&40.into(), &20.into(), &"fixed".into()));
    assert_eq!(json["lengths"], serde_json::json!([4, 7, 10]));
    assert!(json["cosine_mean"].as_f64().unwrap() > 0.99, "{json}");
    let tensors = json["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), 2 * 7);
    let db = |tensor: &Value| tensor["snr_db"].as_f64().unwrap();
    assert!(tensors.is_sorted_by(|a, b| db(a) <= db(b)), "{json}");
    for tensor in tensors {
        let choice = ["attn_in", "ffn_in", "gelu_out"].contains(&tensor["tensor"].as_str().unwrap());
        assert_eq!(tensor["precisions"].as_array().unwrap().len(), if choice { 4 } else { 0 }, "{tensor}");
        assert_eq!((&tensor["precision"], &tensor["range"]), (&"static".into(), &"minmax".into()));
        let relative = tensor["relative_error"].as_f64().unwrap();
        assert!((db(tensor) + 20.0 * relative.log10()).abs() < 1e-9, "{tensor}");
    }
    let text = stdout(run(&args));
    assert!(text.contains("40 sentences, ") && text.contains("lengths 4 to 10, median 7"), "{text}");
    assert!(text.contains("fitted on 20 sentences, measured on the other 20"), "{text}");
    assert!(text.contains("and 6 better ones (--all shows all)"), "{text}");
    assert!(text.contains(" --choose\n"), "{text}");
    let text = stdout(run(&[&args[..], &["--all"]].concat()));
    assert!(!text.contains("better ones") && text.contains("q k v"), "{text}");
}

#[test]
fn choices_and_kept_tensors_are_said() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let file = sentences(&dir, 40);
    let args = ["calibrate", "--model", model.path(), "--calibrate", &file, "--choose", "--range", "kl", "--json"];
    let of = |more: &[&str]| -> Value { serde_json::from_str(&stdout(run(&[&args[..], more].concat()))).unwrap() };
    let json = of(&[]);
    assert_eq!(json["choice"], "measured");
    for tensor in json["tensors"].as_array().unwrap() {
        let candidates = tensor["candidates"].as_array().unwrap();
        if tensor["readers"] == serde_json::json!(["attention"]) {
            assert!(candidates.is_empty());
            continue;
        }
        assert_eq!(
            (candidates.len(), &candidates[0]["range"], &candidates[0]["smoothing"]),
            (25, &"kl".into(), &"0.75".into())
        );
        assert_eq!(keys(&candidates[0]), ["range", "relative_error", "smoothing"]);
    }
    // The same on any number of threads, times apart.
    let [mut one, mut two] = ["1", "2"].map(|threads| of(&["--threads", threads]));
    one["seconds"] = 0.into();
    two["seconds"] = 0.into();
    assert_eq!(one, two);
    // Nothing reaches 200 dB but f32.
    let json = of(&["--keep-below", "200"]);
    let kept: Vec<&Value> = json["tensors"].as_array().unwrap().iter().filter(|t| t["precision"] == "f32").collect();
    assert_eq!(kept.len(), 2 * 3);
    let tried = if runs_bf16() { "bf16 " } else { "dynamic " };
    assert!(kept.iter().all(|tensor| tensor["snr_db"].is_null() && tensor["reason"].as_str().unwrap().contains(tried)));
    let args = ["calibrate", "--model", model.path(), "--calibrate", &file, "--keep-below", "200"];
    let text = stdout(run(&args));
    assert!(text.contains("kept in f32: layer 1, gelu_out (static "), "{text}");
    // What cannot be moved is said, too.
    assert!(text.contains("left in static: layer 1, attn_out (static "), "{text}");
    assert!(text.contains("below 200 dB: it has no other precision)"), "{text}");
}

#[test]
fn one_sentence_is_judged_by_itself() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let file = sentences(&dir, 1);
    let text = stdout(run(&["calibrate", "--model", model.path(), "--calibrate", &file]));
    assert!(text.contains("measured on the same sentence"), "{text}");
}

#[test]
fn bad_options_say_what_would_be_right() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let file = sentences(&dir, 2);
    refuses(&["calibrate", "--model", model.path(), "--calibrate", "/does/not/exist"], "/does/not/exist: cannot read");
    for command in ["calibrate", "evaluate"] {
        for (option, value, expected) in [
            ("--range", "percentile:50", "percentile:P with 50 < P <= 100"),
            ("--range", "entropy", "minmax, percentile:P"),
            ("--smoothing", "1.5", "a number from 0 to 1"),
            ("--smoothing", "-1", "a number from 0 to 1"),
            ("--keep-below", "-3", "decibels from 0 to 200"),
            ("--keep-below", "many", "decibels from 0 to 200"),
            ("--sentences", "0", "at least 1"),
        ] {
            refuses(&[command, "--model", model.path(), "--calibrate", &file, option, value], expected);
        }
    }
}

#[test]
fn schemes_are_compared() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let pairs = dir.path().join("pairs.csv");
    fs::write(&pairs, "a cat,a cat,5\n\"a dog, sits\",cat,1.5\nsits,a,2\ndog dog,cat a,3\n").unwrap();
    let file = sentences(&dir, 20);
    let args =
        ["evaluate", "--model", model.path(), "--pairs", pairs.to_str().unwrap(), "--calibrate", &file, "--schemes"];
    let json: Value = serde_json::from_str(&stdout(run(&[&args[..], &["--range", "mse", "--json"]].concat()))).unwrap();
    let schemes = json["schemes"].as_array().unwrap();
    let names: Vec<&str> = schemes.iter().map(|row| row["scheme"].as_str().unwrap()).collect();
    // A CPU without instructions for bf16 leaves that one out, and says so.
    let names: Vec<&str> = names.into_iter().filter(|name| *name != "bf16").collect();
    let expected = [
        "f32 reference",
        "plain static int8",
        "default",
        "measured choice",
        "7-bit activations",
        "dynamic",
        "--range mse",
    ];
    assert_eq!(names, expected);
    assert_eq!(schemes[1]["speed"], 1.0);
    for row in &schemes[1..] {
        assert!(row["speed"].as_f64().unwrap() > 0.0 && row["cosine_mean"].as_f64().unwrap() > 0.95, "{row}");
    }
    assert!(json["unseen_lengths"].as_u64().unwrap() >= 3, "{json}");
    let text = stdout(run(&args));
    assert!(text.contains("speed x plain") && text.contains("measured choice"), "{text}");
    assert!(text.contains("sentences are shorter or longer than these"), "{text}");
}
