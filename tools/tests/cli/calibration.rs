//! What models are calibrated on, and what is said of texts that do not fit.

use std::fs;

use serde_json::{Value, json};

use crate::checkpoint::{LIMIT, ModelDir, files};
use crate::{refusal, refuses, run, run_with, stdout};

/// The embeddings of the lines of `input`.
fn embed(model: &ModelDir, more: &[&str], input: &str) -> Vec<Value> {
    let args = [&["embed", "--model", model.path()], more].concat();
    let text = stdout(run_with(&args, input.as_bytes()));
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["embedding"].take()).collect()
}

/// What was said of a run, as JSON.
fn said(model: &ModelDir, more: &[&str], input: &str) -> Value {
    let args = [&["embed", "--model", model.path(), "--json"], more].concat();
    serde_json::from_slice(&run_with(&args, input.as_bytes()).stderr).unwrap()
}

/// The warning of values outside the calibrated ranges, if there is one.
fn outside(report: &Value) -> Option<&str> {
    let mut remarks = report["remarks"].as_array().unwrap().iter().map(|remark| remark.as_str().unwrap());
    remarks.find(|remark| remark.contains("outside the calibrated ranges"))
}

#[test]
fn a_text_has_the_same_vector_whatever_stands_beside_it() {
    let model = ModelDir::new();
    let alone = embed(&model, &[], "a cat sits").remove(0);
    for others in ["\n".repeat(200), "dog\n".repeat(200), "a dog sits a cat\ncat\n".into(), "zebra\n".repeat(10)] {
        for threads in ["1", "2"] {
            let among = embed(&model, &["--threads", threads], &format!("{others}a cat sits\n"));
            assert_eq!(among.last(), Some(&alone), "{others:?}");
        }
    }
}

/// The tiny model knows hardly any word of the collection: sequences of its own words make up for that.
#[test]
fn built_in_texts_are_enough_without_texts_of_ones_own() {
    let model = ModelDir::new();
    let input = "a cat sits\n\ndog\na dog sits\ncat cat cat cat dog\nzebra\n";
    let report = said(&model, &["--verify"], input);
    assert_eq!(report["calibration"]["source"], "built-in");
    assert!(report["calibration"]["drawn"].as_u64().unwrap() > 0, "{report}");
    assert!(report["verify"]["min"].as_f64().unwrap() > 0.97, "{report}");
    assert_eq!(outside(&report), None);
}

#[test]
fn stored_texts_come_before_built_in_ones_and_an_option_before_both() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let texts = dir.path().join("texts.txt");
    fs::write(&texts, "a cat\nsits\na dog sits\ncat dog\n").unwrap();
    let texts = texts.to_str().unwrap();
    let input = "a cat sits";
    let by_option = embed(&model, &["--calibrate", texts], input);
    assert_ne!(by_option, embed(&model, &[], input));

    let output = run(&["calibrate", "--model", model.path(), "--calibrate", texts, "--save"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("4 texts written to "), "{output:?}");
    stdout(output);
    assert!(files(model.path().as_ref()).contains(&"lacuna-calibration.jsonl".to_owned()));
    assert_eq!(embed(&model, &[], input), by_option);
    let report = said(&model, &[], input);
    assert!(report["calibration"]["source"].as_str().unwrap().ends_with("lacuna-calibration.jsonl"), "{report}");
    assert_eq!((&report["calibration"]["texts"], &report["calibration"]["of"]), (&json!(4), &json!(4)));

    let other = dir.path().join("other.txt");
    fs::write(&other, "dog\n").unwrap();
    let report = said(&model, &["--calibrate", other.to_str().unwrap()], input);
    assert_eq!(report["calibration"]["source"], other.to_str().unwrap());

    let stored = std::path::Path::new(model.path()).join("lacuna-calibration.jsonl");
    fs::write(stored, "{\"text\": \"a\"}\ncat\n").unwrap();
    let line = refusal(run_with(&["embed", "--model", model.path()], b"a cat"));
    assert!(line.contains("lacuna-calibration.jsonl: line 2: found"), "{line}");
    refuses(&["calibrate", "--model", model.path(), "--save"], "--calibrate <FILE>");
}

/// One rule and one option for every command.
#[test]
fn the_number_of_texts_is_chosen_and_said() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (texts, pairs, packed) = (path("texts.txt"), path("pairs.csv"), path("m.lacuna"));
    fs::write(&texts, "a cat sits\na dog\n".repeat(150)).unwrap();
    fs::write(&pairs, "a cat,a cat,5\na dog,cat,1.5\nsits,a,2\n").unwrap();
    let model = ["--model", model.path(), "--calibrate", &texts];
    for (more, expected) in [(&[][..], 200), (&["--sentences", "7"], 7), (&["--sentences", "1000"], 300)] {
        let counts = |json: &Value| (json["calibration"]["texts"].clone(), json["calibration"]["of"].clone());
        let json = |output: Vec<u8>| -> Value { serde_json::from_slice(&output).unwrap() };
        let embed = json(run_with(&[&["embed", "--json"], &model[..], more].concat(), b"a cat").stderr);
        let calibrate = json(run(&[&["calibrate", "--json"], &model[..], more].concat()).stdout);
        let evaluate = json(run(&[&["evaluate", "--json", "--pairs", &pairs], &model[..], more].concat()).stdout);
        for found in [&embed, &calibrate, &evaluate] {
            assert_eq!(counts(found), (json!(expected), json!(300)), "{found}");
        }
        stdout(run(&[&["pack", "--output", &packed], &model[..], more].concat()));
        let output = run_with(&["embed", "--model", &packed, "--report"], b"a cat");
        let said = String::from_utf8_lossy(&output.stderr);
        let note = if expected == 300 {
            "calibrated on 300 texts".into()
        } else {
            format!("calibrated on {expected} of 300 texts")
        };
        assert!(said.contains(&note), "{said}");
    }
}

#[test]
fn texts_unlike_those_of_the_calibration_are_noticed() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let texts = dir.path().join("texts.txt");
    fs::write(&texts, "a\n").unwrap();
    let input = "dog dog cat sits cat dog\n".repeat(20);
    let report = said(&model, &["--calibrate", texts.to_str().unwrap(), "--report"], &input);
    let warning = outside(&report).unwrap();
    assert!(warning.contains(": layer ") && warning.contains("--calibrate FILE"), "{warning}");
    let tensors = report["saturation"]["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), 2 * 7);
    assert!(tensors.iter().all(|tensor| tensor["codes"].as_u64().unwrap() > 0), "{report}");
    assert_eq!(outside(&said(&model, &["--report"], &input)), None);
}

#[test]
fn verification_has_a_bound() {
    let model = ModelDir::new();
    let verify = |more: &[&str]| {
        let args = [&["embed", "--model", model.path(), "--verify"], more].concat();
        let output = run_with(&args, b"a cat sits\ndog\n");
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 2);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(verify(&[]).0, Some(0));
    assert_eq!(verify(&["--verify-least", "0.5"]).0, Some(0));
    let (status, said) = verify(&["--verify-least", "1"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("check failed: least cosine to the f32 reference is 0.99"), "{said}");
    assert!(said.contains("expected at least 1 (--verify-least)"), "{said}");
    refuses(&["embed", "--model", model.path(), "--verify", "--verify-least", "1.5"], "a number from 0 to 1");
    refuses(&["embed", "--model", model.path(), "--verify-least", "0.5"], "--verify");
}

#[test]
fn pruning_at_load_is_said_once() {
    let model = ModelDir::new();
    let said_of = |more: &[&str]| {
        let args = [&["embed", "--model", model.path()], more].concat();
        String::from_utf8_lossy(&run_with(&args, b"a cat").stderr).into_owned()
    };
    let line = "pruned by magnitude at load: accuracy is not kept; use a model that was trained sparse";
    assert_eq!(said_of(&["--sparsity", "0.5"]).matches(line).count(), 1);
    assert!(!said_of(&[]).contains(line) && !said_of(&["--sparsity", "0"]).contains(line));
    let said = said(&model, &["--sparsity", "0.5"], "a cat");
    assert!(said["remarks"].as_array().unwrap().contains(&json!(format!("warning: {line}"))));
}

#[test]
fn advice_repeats_the_command_exactly() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let texts = dir.path().join("my texts.txt");
    fs::write(&texts, "a cat\nsits\na dog sits\ncat dog\n").unwrap();
    let texts = texts.to_str().unwrap();
    let args = [
        "calibrate",
        "--model",
        model.path(),
        "--sparsity",
        "0.5",
        "--block",
        "1x4",
        "--calibrate",
        texts,
        "--sentences",
        "3",
    ];
    let text = stdout(run(&[&args[..], &["--range", "mse"]].concat()));
    let expected = format!(
        "  lacuna calibrate --model {} --sparsity 0.5 --block 1x4 --calibrate '{texts}' --sentences 3 --range mse --choose\n",
        model.path()
    );
    assert!(text.contains(&expected), "{text}");
    let text = stdout(run(&["calibrate", "--model", model.path()]));
    assert!(text.contains(&format!("  lacuna calibrate --model {} --choose\n", model.path())), "{text}");
}

#[test]
fn evaluate_takes_a_list_of_sparsities_and_packed_files() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (pairs, packed) = (path("pairs.csv"), path("m.lacuna"));
    fs::write(&pairs, "a cat,a cat,5\n\"a dog, sits\",cat,1.5\nsits,a,2\ndog dog,cat a,3\n").unwrap();
    let of = |model: &str, more: &[&str]| -> Value {
        let args = [&["evaluate", "--model", model, "--pairs", &pairs, "--json"], more].concat();
        serde_json::from_str(&stdout(run(&args))).unwrap()
    };
    let list = of(model.path(), &["--sparsity", "0,0.5"]);
    let results = list["results"].as_array().unwrap();
    assert_eq!(results.iter().map(|point| point["sparsity"].as_f64().unwrap()).collect::<Vec<_>>(), [0.0, 0.5]);
    assert_eq!(results[1]["cosine_min"], of(model.path(), &["--sparsity", "0.5"])["cosine_min"]);
    assert_eq!(results[0]["spearman_f32_pruned"], list["spearman_f32"]);

    stdout(run(&["pack", "--model", model.path(), "--output", &packed]));
    let found = of(&packed, &[]);
    assert_eq!(found["spearman_int8"], of(model.path(), &[])["spearman_int8"]);
    assert_eq!((&found["spearman_f32"], &found["cosine_mean"]), (&Value::Null, &Value::Null));
    let text = stdout(run(&["evaluate", "--model", &packed, "--pairs", &pairs]));
    assert!(text.contains("it holds no f32 weights to compare with"), "{text}");
    refuses(&["evaluate", "--model", &packed, "--pairs", &pairs, "--sparsity", "0.5"], "needs the f32 weights");
    refuses(&["evaluate", "--model", &packed, "--pairs", &pairs, "--calibrate", &pairs], "needs the f32 weights");
}

/// Texts over the model's limit, of which the collection has some, are used up to the limit.
#[test]
fn the_collection_fits_a_model_with_few_positions() {
    let model = ModelDir::new();
    let long = "cat dog ".repeat(LIMIT);
    let report = said(&model, &["--verify"], &long);
    assert!(report["verify"]["min"].as_f64().unwrap() > 0.97, "{report}");
}

#[test]
fn a_model_with_more_zeros_is_not_pruned() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let graph = path("sparse/model.onnx");
    fs::create_dir(dir.path().join("sparse")).unwrap();
    for name in ["config.json", "tokenizer.json"] {
        fs::copy(std::path::Path::new(model.path()).join(name), path(&format!("sparse/{name}"))).unwrap();
    }
    stdout(run(&["export", "onnx", "--model", model.path(), "--sparsity", "0.75", &graph]));
    let expected = "--sparsity 0.5: the model already has 75 % zero blocks; nothing pruned\n";
    let sparse = path("sparse");
    let out = path("again.onnx");
    for args in [
        &["embed", "--sparsity", "0.5", "--model", &sparse][..],
        &["inspect", "--sparsity", "0.5", "--model", &sparse],
        &["calibrate", "--sparsity", "0.5", "--model", &sparse],
        &["bench", "model", "--sparsity", "0.5", "--seq", "4", "--repeats", "2", "--model", &sparse],
        &["export", "onnx", "--sparsity", "0.5", "--model", &sparse, &out],
    ] {
        let output = run_with(args, b"a cat");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        stdout(output);
        assert!(said.contains(expected) && !said.contains("pruned by magnitude"), "{args:?}: {said}");
    }
    let zeros = |args: &[&str]| -> Vec<f64> {
        let rows = stdout(run(&[args, &["--repeats", "2", "--json"]].concat()));
        let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
        rows.iter().map(|row| (row["sparsity"].as_f64().unwrap() * 1e3).round() / 1e3).collect()
    };
    // The zeros that are there stay, unless more are asked for.
    let packed = path("m.lacuna");
    stdout(run(&["pack", "--form", "sparse", "--model", &sparse, "--output", &packed]));
    for model in [&sparse, &packed] {
        assert_eq!(zeros(&["bench", "model", "--seq", "4", "--model", model]), [0.75]);
        assert_eq!(zeros(&["bench", "text", "--batch", "1", "--seq", "4", "--model", model]), [0.75]);
        assert_eq!(zeros(&["bench", "lengths", "--lengths", "2-5", "--sequences", "2", "--model", model]), [0.75]);
    }
    let asked = ["--sparsity", "0.5,0.875"];
    assert_eq!(zeros(&[&["bench", "model", "--seq", "4", "--model", &sparse], &asked[..]].concat()), [0.75, 0.875]);
    let lengths = ["bench", "lengths", "--lengths", "2-5", "--sequences", "2", "--model", &sparse];
    assert_eq!(zeros(&[&lengths[..], &asked[..]].concat()), [0.75, 0.875]);
    refuses(&["bench", "lengths", "--model", &packed, "--sparsity", "0.9"], "needs the f32 weights");
}

/// Counts of values at the ends of the ranges are there without `--report`, and a packed file says what it was calibrated on.
#[test]
fn json_says_what_was_counted_and_what_was_calibrated_on() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let packed = dir.path().join("m.lacuna").to_str().unwrap().to_owned();
    stdout(run(&["pack", "--model", model.path(), "--output", &packed]));
    let of = |model: &str| -> Value {
        serde_json::from_slice(&run_with(&["embed", "--json", "--model", model], b"a cat").stderr).unwrap()
    };
    let (folder, file) = (of(model.path()), of(&packed));
    assert_eq!(folder["saturation"]["tensors"].as_array().unwrap().len(), 2 * 7);
    assert_eq!(file["calibration"], folder["calibration"]);
    let advises = |said: &Value| said["remarks"].to_string().contains("--calibrate FILE");
    assert!(advises(&folder) && !advises(&file), "it is decided in a packed model");
    assert_eq!((&file["calibration"]["source"], &folder["report"]), (&json!("built-in"), &Value::Null));
}

#[test]
fn nothing_to_verify_is_said() {
    let model = ModelDir::new();
    let said = said(&model, &["--verify"], "");
    assert_eq!(said["verify"], Value::Null);
    assert!(said["remarks"].as_array().unwrap().contains(&json!("--verify: nothing to compare")), "{said}");
}

/// The rule of `--input`: a first row with a column "text" is a heading.
#[test]
fn tables_of_calibration_texts_are_read_as_those_of_the_input() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    for (name, bytes) in [
        ("a.csv", "n,text\n1,a cat\n2,a dog\n"),
        ("b.tsv", "text\tn\na cat\t1\na dog\t2\n"),
        ("c.csv", "a cat,1\na dog,2\n"),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let text = stdout(run(&["calibrate", "--model", model.path(), "--calibrate", path.to_str().unwrap()]));
        assert!(text.contains("calibrated on 2 texts of"), "{name}: {text}");
    }
}
