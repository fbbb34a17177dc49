//! `lacuna compress`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::checkpoint::ModelDir;
use crate::{refusal, refuses, run, stdout};

/// Texts of the tiny model's words.
const TEXTS: &str = "a cat\na dog sits\nthe cat sits on a dog\na cat, a dog\nthe dog\nsits a cat on the cat\n";

struct Work {
    model: ModelDir,
    folder: tempfile::TempDir,
}

impl Work {
    fn new() -> Work {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("texts.txt"), TEXTS).unwrap();
        fs::write(folder.path().join("pairs.csv"), "a cat,a dog,4\na cat,sits on,1\nthe dog,a dog,5\n").unwrap();
        Work { model: ModelDir::new(), folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// The options of a small run, with `more`.
    fn args(&self, more: &[&str]) -> Vec<String> {
        let args = [
            "compress",
            "--model",
            self.model.path(),
            "--data",
            &self.path("texts.txt"),
            "--pairs",
            &self.path("pairs.csv"),
        ];
        args.iter().chain(more).map(|arg| (*arg).to_owned()).collect()
    }

    fn run(&self, more: &[&str]) -> std::process::Output {
        let args = self.args(more);
        run(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn json(&self, more: &[&str]) -> Value {
        serde_json::from_str(&stdout(self.run(&[more, &["--json"]].concat()))).unwrap()
    }
}

#[test]
fn a_model_is_pruned_trained_measured_and_written() {
    let work = Work::new();
    let (out, log, html) = (work.path("sparse"), work.path("log.jsonl"), work.path("page.html"));
    let found = work.json(&[
        "--sparsity",
        "0.5",
        "--steps",
        "4",
        "--batch",
        "4",
        "--out",
        &out,
        "--log",
        &log,
        "--html",
        &html,
    ]);
    assert_eq!(found["steps"], 4);
    assert!((found["zeros"].as_f64().unwrap() - 0.5).abs() < 1e-9, "{found}");
    assert!(found["matrices"].as_array().unwrap().iter().all(|matrix| matrix["zeros"].as_f64().unwrap() >= 0.5));
    assert!(["dense_f32", "pruned_f32", "f32", "int8"].iter().all(|key| found["spearman"][key].is_number()), "{found}");
    // The folder is a model like any other, and its zeros are seen.
    let inspected: Value = serde_json::from_str(&stdout(run(&["inspect", "--model", &out, "--json"]))).unwrap();
    assert!(inspected.to_string().contains("zero"), "{inspected}");
    let vectors = stdout(crate::run_with(&["embed", "--model", &out], b"a cat\n"));
    assert_eq!(vectors.lines().count(), 1);
    let card = fs::read_to_string(Path::new(&out).join("README.md")).unwrap();
    assert!(card.contains("compress") && card.contains("texts.txt") && card.contains("| 0 | 50.0 % |"), "{card}");
    let lines: Vec<Value> =
        fs::read_to_string(&log).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |event: &str| lines.iter().filter(|line| line["event"] == event).count();
    assert!(count("matrix") > 0 && count("layer") > 0 && count("step") == 4 && count("dev") >= 3);
    assert!(fs::read_to_string(&html).unwrap().contains("<svg"));
    assert!(!Path::new(&format!("{out}.checkpoint")).exists());
}

#[test]
fn the_same_steps_and_seed_give_the_same_model_on_any_number_of_threads() {
    let work = Work::new();
    let (one, two) = (work.path("one"), work.path("two"));
    for (threads, out) in [("1", &one), ("2", &two)] {
        work.json(&["--sparsity", "0.5", "--steps", "3", "--batch", "4", "--threads", threads, "--out", out]);
    }
    let bytes = |folder: &str| fs::read(Path::new(folder).join("model.safetensors")).unwrap();
    assert!(bytes(&one) == bytes(&two));
}

#[test]
fn the_sparsity_rises_during_the_training() {
    let work = Work::new();
    let (out, log, html) = (work.path("sparse"), work.path("log.jsonl"), work.path("page.html"));
    let args = ["--sparsity", "0.75", "--start-sparsity", "0.25", "--steps", "10", "--batch", "4", "--out"];
    let found = work.json(&[&args[..], &[&out, "--log", &log, "--html", &html]].concat());
    assert!((found["zeros"].as_f64().unwrap() - 0.75).abs() < 1e-9, "{found}");
    let gradual = &found["gradual"];
    assert_eq!(
        (&gradual["start_sparsity"], &gradual["locked"], &gradual["planned"]),
        (&0.25.into(), &4.into(), &4.into())
    );
    assert_eq!(gradual["prunings"].as_array().unwrap().len(), 4, "{gradual}");
    let lines: Vec<Value> =
        fs::read_to_string(&log).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    assert_eq!((of("pruning").len(), of("layer").len()), (4, 5 * 2));
    let sparsities: Vec<f64> = of("step").iter().map(|line| line["sparsity"].as_f64().unwrap()).collect();
    assert!(sparsities.is_sorted() && sparsities[0] == 0.25 && sparsities[4..] == [0.75; 6], "{sparsities:?}");
    let card = fs::read_to_string(Path::new(&out).join("README.md")).unwrap();
    assert!(
        card.contains("gradual pruning from 25.0 % zeros: 4 more prunings; locked at 75.0 % after step 4"),
        "{card}"
    );
    assert!(card.contains("pruned to 25.0 % and refitted, f32"), "{card}");
    let page = fs::read_to_string(&html).unwrap();
    assert!(page.contains("<h2>Sparsity</h2>") && page.contains("error after the first pruning"), "{page}");

    // The same again on other threads, and in the shape that is best here.
    let other = work.path("other");
    work.json(&[&args[..], &[&other, "--threads", "2"]].concat());
    let bytes = |folder: &str| fs::read(Path::new(folder).join("model.safetensors")).unwrap();
    assert!(bytes(&out) == bytes(&other));
    let auto = work.path("auto");
    let found = work.json(&[&args[..], &[&auto, "--block", "auto", "--seq", "8"]].concat());
    assert!((found["zeros"].as_f64().unwrap() - 0.75).abs() < 1e-9 && found["gradual"]["locked"] == 4, "{found}");
}

#[test]
fn gradual_prunings_that_mean_nothing_are_refused_before_the_work() {
    let work = Work::new();
    let out = work.path("out");
    let refused = |more: &[&str], expected: &str| {
        let line = refusal(work.run(&[more, &["--out", &out]].concat()));
        assert!(line.contains(expected), "{more:?}: {line}");
    };
    for start in ["0.5", "0.6", "0"] {
        refused(&["--sparsity", "0.5", "--start-sparsity", start], "a number above 0 and below 0.5000");
    }
    refused(&["--sparsity", "0.5", "--start-sparsity", "1"], "0 <= sparsity < 1");
    refused(&["--sparsity", "0.5", "--start-sparsity", "0.2", "--method", "one-shot"], "which trains nothing");
    refused(&["--sparsity", "0.5", "--start-sparsity", "0.2", "--steps", "1"], "--steps: found 1; expected at least 2");
    refused(&["--lock", "--start-sparsity", "0.2"], "--lock");
    refused(&["--heads", "1", "--start-sparsity", "0.2"], "--start-sparsity: found no blocks that become zero");
    assert!(!Path::new(&out).exists());
}

#[test]
fn zeros_are_kept_when_they_are_locked() {
    let work = Work::new();
    let (sparse, tuned) = (work.path("sparse"), work.path("tuned"));
    work.json(&["--sparsity", "0.75", "--method", "one-shot", "--out", &sparse]);
    let args =
        ["compress", "--model", &sparse, "--lock", "--teacher", work.model.path(), "--data", &work.path("texts.txt")];
    let found: Value =
        serde_json::from_str(&stdout(run(&[&args[..], &["--steps", "3", "--out", &tuned, "--json"]].concat())))
            .unwrap();
    assert!(found["zeros"].as_f64().unwrap() >= 0.75, "{found}");
    assert_eq!(found["method"], "pattern lock");
}

#[test]
fn a_checkpoint_of_another_run_is_refused_and_a_missing_one_is_said() {
    let work = Work::new();
    let out = work.path("sparse");
    let args = ["--sparsity", "0.5", "--steps", "2", "--batch", "4", "--resume", "--out", &out];
    // What a run with another seed left.
    fs::write(format!("{out}.checkpoint"), "").unwrap();
    let line = crate::stopped(work.run(&args)).1;
    assert!(line.contains("sparse.checkpoint.json"), "{line}");
    fs::write(format!("{out}.checkpoint.json"), "{}").unwrap();
    let line = crate::stopped(work.run(&args)).1;
    assert!(line.contains("--resume") && line.contains("begins anew"), "{line}");
    fs::remove_file(format!("{out}.checkpoint")).unwrap();
    let output = work.run(&args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("the training begins anew"), "{said}");
    assert!(!Path::new(&format!("{out}.checkpoint.json")).exists());
}

#[test]
fn a_packed_file_is_written() {
    let work = Work::new();
    let file = work.path("sparse.lacuna");
    work.json(&["--sparsity", "0.5", "--method", "one-shot", "--out", &file]);
    assert_eq!(stdout(crate::run_with(&["embed", "--model", &file], b"a cat\n")).lines().count(), 1);
}

#[test]
fn auto_says_what_it_chose_and_why() {
    let work = Work::new();
    let out = work.path("sparse");
    let found =
        work.json(&["--sparsity", "0.5", "--block", "auto", "--seq", "8", "--method", "one-shot", "--out", &out]);
    let plan = &found["plan"];
    let candidates = plan["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 5, "{plan}");
    let chosen = candidates.iter().find(|candidate| candidate["block"] == found["block"]).unwrap();
    assert!(chosen["error"].as_f64().unwrap() > 0.0 && chosen["linear_ms"].as_f64().unwrap() > 0.0, "{plan}");
    let first = &candidates[0];
    assert!(
        first["block"] == "4x1" && first["equal_sparsity"] == 0.5 && first["error"] == first["equal_error"],
        "{plan}"
    );
    assert!(plan["times"]["predicted_ms"].as_f64().unwrap() > 0.0 && found["measured_ms"].as_f64().unwrap() > 0.0);
    assert!((found["zeros"].as_f64().unwrap() - 0.5).abs() < 1e-9, "{found}");
    let card = fs::read_to_string(Path::new(&out).join("README.md")).unwrap();
    assert!(card.contains("| 4x4 |") && card.contains("Measured: the result takes"), "{card}");
}

#[test]
fn times_that_cannot_be_are_refused() {
    let work = Work::new();
    let out = work.path("out");
    let refused = |more: &[&str], expected: &str| {
        let output = work.run(&[&["--method", "one-shot", "--out", &out], more].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{more:?}: {said}");
        // What was measured stands before the error.
        let line = said.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(line.contains(expected), "{more:?}: {said}");
    };
    refused(&["--speedup", "1000", "--seq", "8"], "--speedup: found 1000; expected at most");
    refused(&["--target-ms", "0.000001", "--seq", "8"], "--target-ms: found 0.000001; expected at least");
    refused(&["--target-ms", "1e6", "--seq", "8"], "less than dense int8 takes");
    refused(&["--speedup", "1"], "expected a number above 1");
    refused(&["--sparsity", "0.5", "--speedup", "2"], "--speedup");
    refused(&["--speedup", "2", "--seq", "100000"], "--seq: found 100000; expected");
    assert!(!Path::new(&out).exists());
}

#[test]
fn the_order_of_neurons_may_stay() {
    let work = Work::new();
    let (kept, changed) = (work.path("kept"), work.path("changed"));
    let args = ["--sparsity", "0.5", "--block", "4x4", "--method", "one-shot", "--out"];
    let first = work.json(&[&args[..], &[&kept, "--keep-order"]].concat());
    let second = work.json(&[&args[..], &[&changed]].concat());
    assert_eq!((&first["plan"]["reordered"], &second["plan"]["reordered"]), (&false.into(), &true.into()));
    let error = |found: &Value| -> f64 {
        found["matrices"].as_array().unwrap().iter().map(|matrix| matrix["relative_error"].as_f64().unwrap()).sum()
    };
    assert!(error(&second) < error(&first), "{} {}", error(&second), error(&first));
}

/// Pairs with scores are trained on, those that are measured are left out, and the embeddings move where that is asked for.
#[test]
fn pairs_with_scores_are_trained_on() {
    let work = Work::new();
    let (gold, out) = (work.path("gold.csv"), work.path("sparse"));
    fs::write(&gold, "a cat,a cat sits,5\na dog,the cat,2\nthe cat,a dog sits,1\na dog,a cat,4\n").unwrap();
    let base = ["--sparsity", "0.5", "--steps", "3", "--batch", "4", "--train-pairs", &gold];
    let output = work.run(&[&base[..], &["--train-embeddings", "--out", &out]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && said.contains("--train-pairs: 1 pair left out, which --pairs has too"),
        "{said}"
    );
    let card = fs::read_to_string(Path::new(&out).join("README.md")).unwrap();
    assert!(card.contains("gold.csv (pairs with scores) | 6 |") && card.contains("embeddings were trained"), "{card}");
    // The pairs are texts enough.
    let alone = work.path("alone");
    let args = [&["compress", "--model", work.model.path(), "--out", &alone][..], &base].concat();
    let said = String::from_utf8_lossy(&run(&args).stderr).into_owned();
    assert!(!said.contains("built-in") && Path::new(&alone).exists(), "{said}");
    let refused = |text: &str, more: &[&str], expected: &str| {
        fs::write(&gold, text).unwrap();
        let line = refusal(
            work.run(&[&["--sparsity", "0.5", "--train-pairs", &gold, "--out", &work.path("no")], more].concat()),
        );
        assert!(line.contains(expected), "{line}");
    };
    refused("a cat,a dog,4\nsits on,a cat,1\n", &[], "found 0 pairs in");
    refused("a cat,a dog,4\n", &[], "--train-pairs: found 1 pair in");
    refused("a cat,a dog,x\n", &[], "a heading is not read");
    refused("a cat,a cat sits,5\na dog,the cat,2\n", &["--method", "one-shot"], "which trains nothing");
}

#[test]
fn what_cannot_work_is_refused_before_the_work() {
    let work = Work::new();
    let full = work.path("");
    let refused = |more: &[&str], expected: &str| {
        let line = refusal(work.run(more));
        assert!(line.contains(expected), "{more:?}: {line}");
    };
    let out = work.path("out");
    refused(&["--out", &out], "--sparsity");
    refused(&["--sparsity", "1", "--out", &out], "0 <= sparsity < 1");
    refused(&["--sparsity", "0.5", "--out", &full], "--out: found something in");
    refused(&["--sparsity", "0.5", "--out", "/does/not/exist/x"], "does not exist");
    refused(&["--sparsity", "0.5", "--time", "5", "--out", &out], "90s, 15m or 2h");
    refused(&["--sparsity", "0.5", "--learning-rate", "5", "--out", &out], "at most 0.1");
    refused(&["--lock", "--out", &out], "already pruned");
    for more in [["--time", "5s"], ["--steps", "5"], ["--teacher", "x"]] {
        refused(
            &[&more[..], &["--sparsity", "0.5", "--method", "one-shot", "--out", &out]].concat(),
            "which trains nothing",
        );
    }
    refused(&["--lock", "--method", "one-shot", "--out", &out], "which trains nothing");
    refused(&["--sparsity", "0.5", "--small-tables", "--out", &out], "ends in .lacuna");
    refuses(&["compress", "--sparsity", "0.5", "--out", &out], "--model");
    let empty = work.path("empty.txt");
    fs::write(&empty, "\n\n").unwrap();
    let args = ["compress", "--model", work.model.path(), "--sparsity", "0.5", "--data", &empty, "--out", &out];
    assert!(refusal(run(&args)).contains("no text in"));
    assert!(!Path::new(&out).exists());
}

#[test]
fn heads_and_neurons_are_removed_alone_and_before_blocks() {
    let work = Work::new();
    let (small, sparse, log) = (work.path("small"), work.path("sparse"), work.path("log.jsonl"));
    let shape = ["--heads", "1", "--ffn", "8", "--steps", "3", "--batch", "4"];
    let found = work.json(&[&shape[..], &["--activation", "relu", "--log", &log, "--out", &small]].concat());
    assert_eq!(found["cut"]["heads"], serde_json::json!({"from": 2, "to": 1}), "{found}");
    assert_eq!(found["cut"]["ffn"]["to"], 8);
    assert_eq!(found["cut"]["activation"], serde_json::json!({"from": "gelu", "to": "relu"}));
    assert_eq!(found["cut"]["heads_kept"].as_array().unwrap().len(), 2);
    assert!(found["spearman"]["cut_f32"].is_number() && found["spearman"]["pruned_f32"].is_null(), "{found}");
    assert!(found["block"].is_null() && found["steps"] == 3, "{found}");
    let lines = fs::read_to_string(&log).unwrap();
    assert_eq!(lines.lines().filter(|line| line.contains("\"event\":\"cut\"")).count(), 2, "{lines}");
    let config: Value = serde_json::from_slice(&fs::read(Path::new(&small).join("config.json")).unwrap()).unwrap();
    assert_eq!((&config["num_attention_heads"], &config["intermediate_size"]), (&2.into(), &8.into()));
    assert_eq!(config["pruned_heads"], serde_json::json!({"0": [1], "1": [1]}));
    let card = fs::read_to_string(Path::new(&small).join("README.md")).unwrap();
    assert!(
        card.contains("1 of 2 heads") && card.contains("relu in place of gelu") && card.contains("pruned_heads"),
        "{card}"
    );
    assert_eq!(stdout(crate::run_with(&["embed", "--model", &small], b"a cat\n")).lines().count(), 1);

    let found = work.json(&[&shape[..], &["--sparsity", "0.5", "--out", &sparse]].concat());
    assert!((found["zeros"].as_f64().unwrap() - 0.5).abs() < 0.05, "{found}");
    assert!(["cut_f32", "pruned_f32", "f32", "int8"].iter().all(|key| found["spearman"][key].is_number()), "{found}");

    // All of them in one table and on one page, folders and packed files.
    let (packed, page) = (work.path("small.lacuna"), work.path("models.html"));
    stdout(run(&["pack", "--model", &small, "--output", &packed]));
    let pairs = work.path("pairs.csv");
    let evaluate = ["evaluate", "--model", work.model.path(), "--pairs", &pairs, "--seq", "4", "--beside"];
    let args = [&evaluate[..], &[&small, &packed, &sparse, "--pareto", &page, "--json"]].concat();
    let found: Value = serde_json::from_str(&stdout(run(&args))).unwrap();
    let points = found["points"].as_array().unwrap();
    assert_eq!((points.len(), &found["metric"]), (4, &Value::from("spearman")), "{found}");
    assert_eq!(points[1]["score"], points[2]["score"], "a folder and its packed file are the same model");
    assert!(points.iter().all(|point| point["milliseconds"].as_f64().unwrap() > 0.0), "{found}");
    assert!(points.iter().any(|point| point["on_front"] == true), "{found}");
    assert!(points[1]["weights"].as_u64().unwrap() < points[0]["weights"].as_u64().unwrap(), "{found}");
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("<svg") && html.contains("small.lacuna"), "{html}");
    let text = stdout(run(&[&evaluate[..], &[&small]].concat()));
    assert!(text.contains("Spearman") && text.contains("x as fast"), "{text}");
    let refused = |more: &[&str], expected: &str| {
        let line = refusal(run(&[&evaluate[..], more].concat()));
        assert!(line.contains(expected), "{more:?}: {line}");
    };
    refused(&[&small, "--sparsity", "0.5"], "--sparsity: found --beside");
    refused(&["/does/not/exist"], "/does/not/exist");
    refused(&[&small, "--pareto", "/does/not/exist/x.html"], "/does/not/exist");
}

#[test]
fn shapes_that_cannot_be_are_refused_before_the_work() {
    let work = Work::new();
    let out = work.path("out");
    let refused = |more: &[&str], expected: &str| {
        let line = refusal(work.run(&[more, &["--out", &out]].concat()));
        assert!(line.contains(expected), "{more:?}: {line}");
    };
    refused(&["--heads", "3"], "--heads: found 3; expected at most 2");
    refused(&["--ffn", "100000"], "--ffn: found 100000; expected at most");
    refused(&["--heads", "0"], "--heads");
    refused(&["--heads", "2"], "what the model has");
    refused(&["--activation", "gelu"], "what the model has");
    refused(&["--activation", "swish"], "relu");
    refused(&["--heads", "1", "--lock"], "--lock");
    assert!(!Path::new(&out).exists());
}
