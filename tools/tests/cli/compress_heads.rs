//! `lacuna compress` of models with a head.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::checkpoint::ModelDir;
use crate::{refusal, run, run_with, stdout};

/// Texts of the tiny model's words; the class is told by the animal.
const TRAIN: &str = "text,label\na cat,meow\na dog,woof\nthe cat sits,meow\nthe dog sits,woof\na cat sits on a,meow\nsits on a dog,woof\n";
const DEV: &str = "text,label\nthe cat,meow\nthe dog,woof\na dog sits,woof\nsits a cat,meow\n";

struct Work {
    model: ModelDir,
    folder: tempfile::TempDir,
}

impl Work {
    fn new() -> Work {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in
            [("train.csv", TRAIN), ("dev.csv", DEV), ("texts.txt", "a cat\na dog sits\nthe cat on a dog\n")]
        {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Work { model: ModelDir::new(), folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Compresses `model` with `more` options.
    fn output(&self, model: &str, more: &[&str]) -> std::process::Output {
        run(&[&["compress", "--model", model, "--batch", "4"], more].concat())
    }

    fn json(&self, model: &str, more: &[&str]) -> Value {
        serde_json::from_str(&stdout(self.output(model, &[more, &["--json"]].concat()))).unwrap()
    }

    /// A dense classifier.
    fn classifier(&self, name: &str) -> (String, Value) {
        let (out, train, dev) = (self.path(name), self.path("train.csv"), self.path("dev.csv"));
        let args = [
            "--new-head",
            "--labelled",
            &train,
            "--labelled-dev",
            &dev,
            "--learning-rate",
            "5e-3",
            "--steps",
            "40",
            "--out",
            &out,
        ];
        let found = self.json(self.model.path(), &args);
        (out, found)
    }
}

#[test]
fn a_new_head_is_trained_and_written_and_compressed() {
    let work = Work::new();
    let (classifier, found) = work.classifier("classifier");
    assert_eq!(
        (&found["method"], &found["labels"], &found["zeros"]),
        (&"training on labels".into(), &serde_json::json!(["meow", "woof"]), &0.0.into())
    );
    assert_eq!((&found["labelled_dev"], &found["accuracy"]["dense_f32"]), (&4.into(), &Value::Null));
    assert!(["f32", "int8"].iter().all(|key| found["accuracy"][key].as_f64().unwrap() >= 0.5), "{found}");
    // The folder is a classifier like any other.
    let config: Value =
        serde_json::from_str(&fs::read_to_string(Path::new(&classifier).join("config.json")).unwrap()).unwrap();
    assert_eq!(
        (&config["architectures"][0], &config["id2label"]["1"]),
        (&"BertForSequenceClassification".into(), &"woof".into())
    );
    let rows = stdout(run_with(&["classify", "--model", &classifier], b"a cat\na dog\n"));
    let best = |line: &str| serde_json::from_str::<Value>(line).unwrap()["labels"][0]["label"].clone();
    assert_eq!(rows.lines().map(best).collect::<Vec<_>>(), ["meow", "woof"], "texts that it was trained on");
    let evaluated: Value = serde_json::from_str(&stdout(run(&[
        "evaluate",
        "--model",
        &classifier,
        "--labelled",
        &work.path("dev.csv"),
        "--json",
    ])))
    .unwrap();
    assert_eq!(evaluated["results"][0]["accuracy"], found["accuracy"]["f32"], "{evaluated}");
    let card = fs::read_to_string(Path::new(&classifier).join("README.md")).unwrap();
    assert!(
        card.contains("text-classification")
            && card.contains("lacuna classify")
            && card.contains("train.csv (with labels)"),
        "{card}"
    );

    let (sparse, log, html) = (work.path("sparse"), work.path("log.jsonl"), work.path("page.html"));
    let (train, dev, texts) = (work.path("train.csv"), work.path("dev.csv"), work.path("texts.txt"));
    let args = [
        "--sparsity",
        "0.5",
        "--labelled",
        &train,
        "--labelled-dev",
        &dev,
        "--data",
        &texts,
        "--steps",
        "6",
        "--log",
        &log,
        "--html",
        &html,
        "--out",
        &sparse,
    ];
    let found = work.json(&classifier, &args);
    assert!((found["zeros"].as_f64().unwrap() - 0.5).abs() < 1e-9, "{found}");
    assert!(["dense_f32", "pruned_f32", "f32", "int8"].iter().all(|key| found["accuracy"][key].is_number()), "{found}");
    assert_eq!(found["spearman"], Value::Null);
    let lines: Vec<Value> =
        fs::read_to_string(&log).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["event"] == "step"
        && line["logits"].as_f64().unwrap() > 0.0
        && line["labels"].as_f64().unwrap() > 0.0));
    assert!(
        lines
            .iter()
            .any(|line| line["event"] == "dev" && line["accuracy"].is_number() && line.get("spearman").is_none())
    );
    assert!(fs::read_to_string(&html).unwrap().contains("<svg"));
    // Its zeros stay when it is tuned further, and a packed file has its head.
    let packed = work.path("tuned.lacuna");
    let found = work.json(&sparse, &["--lock", "--labelled", &train, "--steps", "3", "--out", &packed]);
    assert_eq!((&found["method"], found["zeros"].as_f64().unwrap() >= 0.5), (&"pattern lock".into(), true), "{found}");
    assert!(stdout(run_with(&["classify", "--model", &packed], b"the dog sits\n")).contains("label"));
}

#[test]
fn a_sparse_encoder_takes_a_new_head_or_that_of_its_teacher() {
    let work = Work::new();
    let (sparse, train, texts) = (work.path("sparse"), work.path("train.csv"), work.path("texts.txt"));
    work.json(work.model.path(), &["--sparsity", "0.5", "--method", "one-shot", "--data", &texts, "--out", &sparse]);
    let own =
        work.json(&sparse, &["--lock", "--new-head", "--labelled", &train, "--steps", "2", "--out", &work.path("own")]);
    assert!(own["zeros"].as_f64().unwrap() >= 0.5 && own["labels"][0] == "meow", "{own}");
    let (classifier, _) = work.classifier("classifier");
    let args = ["--lock", "--teacher", &classifier, "--data", &texts, "--steps", "2", "--out", &work.path("taken")];
    let taken = work.json(&sparse, &args);
    assert!(taken["zeros"].as_f64().unwrap() >= 0.5 && taken["labels"][1] == "woof", "{taken}");
}

#[test]
fn students_can_be_shallower() {
    let work = Work::new();
    let (out, texts) = (work.path("short"), work.path("texts.txt"));
    let found = work.json(work.model.path(), &["--layers", "1", "--data", &texts, "--steps", "2", "--out", &out]);
    assert_eq!((&found["layers"], found["matrices"].as_array().unwrap().len()), (&1.into(), 6), "{found}");
    assert_eq!(stdout(run_with(&["embed", "--model", &out], b"a cat\n")).lines().count(), 1);
    let line = refusal(work.output(work.model.path(), &["--layers", "99", "--data", &texts, "--out", &work.path("x")]));
    assert!(line.contains("--layers: found 99; expected at most"), "{line}");
}

#[test]
fn an_interrupted_run_with_a_head_gives_the_same_model() {
    let work = Work::new();
    let train = work.path("train.csv");
    let model = |threads: &str, name: &str| {
        let out = work.path(name);
        let args = ["--new-head", "--labelled", &train, "--steps", "5", "--threads", threads, "--out", &out];
        work.json(work.model.path(), &args);
        fs::read(Path::new(&out).join("model.safetensors")).unwrap()
    };
    assert!(model("1", "one") == model("2", "two"));
}

#[test]
fn labels_and_options_that_mean_nothing_are_refused_before_the_work() {
    let work = Work::new();
    let (classifier, _) = work.classifier("classifier");
    let (train, dev, out) = (work.path("train.csv"), work.path("dev.csv"), work.path("out"));
    let file = |name: &str, text: &str| {
        fs::write(work.path(name), text).unwrap();
        work.path(name)
    };
    let encoder = work.model.path();
    let other = file("other.csv", "a cat,meow\na dog,moo\n");
    let one = file("one.csv", "a cat,meow\na dog,meow\n");
    let numbers = file("numbers.jsonl", "{\"text\":\"a\",\"label\":0}\n{\"text\":\"a\",\"label\":2}\n");
    let pairs = file("pairs.csv", "a cat,a dog,4\na cat,a car,1\n");
    for (model, more, expected) in [
        (encoder, vec!["--new-head"], "--labelled"),
        (encoder, vec!["--new-head", "--labelled", &one], "at least 2"),
        (encoder, vec!["--new-head", "--labelled", &numbers], "no text of class 1"),
        (encoder, vec!["--new-head", "--labelled", &train, "--labelled-dev", &other], "line 2: found label \"moo\""),
        (encoder, vec!["--new-head", "--labelled", &train, "--method", "one-shot"], "which trains nothing"),
        (encoder, vec!["--sparsity", "0.5", "--labelled", &train], "--new-head"),
        (encoder, vec!["--sparsity", "0.5", "--labelled-dev", &dev], "--pairs"),
        (&classifier, vec!["--sparsity", "0.5", "--labelled", &other], "line 2: found label \"moo\""),
        (&classifier, vec!["--sparsity", "0.5", "--pairs", &pairs], "--labelled-dev"),
        (&classifier, vec!["--sparsity", "0.5", "--temperature", "0"], "above 0"),
        (&classifier, vec!["--sparsity", "0.5", "--layers", "1", "--method", "one-shot"], "which trains nothing"),
    ] {
        let line = refusal(work.output(model, &[&more[..], &["--steps", "2", "--out", &out]].concat()));
        assert!(line.contains(expected), "{more:?}: {line}");
    }
    assert!(!Path::new(&out).exists());
}
