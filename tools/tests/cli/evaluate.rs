//! `lacuna evaluate` on tasks with a head, on the library's fixtures.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::{keys, refusal, refuses, run, run_with, stdout};

fn model(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/heads").join(name);
    folder.to_str().unwrap().to_owned()
}

/// A folder for files.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, content: &str) -> String {
        let path = self.at(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn lines(&self, name: &str, lines: &[Value]) -> String {
        self.write(name, &lines.iter().map(|line| format!("{line}\n")).collect::<String>())
    }
}

fn evaluate(name: &str, option: &str, file: &str, more: &[&str]) -> Value {
    let args = [&["evaluate", "--model", name, option, file, "--json"], more].concat();
    serde_json::from_str(&stdout(run(&args))).unwrap()
}

fn score(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or_else(|| panic!("{name}: {row}"))
}

/// The result of a command with a task for one line of JSON, on the f32 model as well as on the compiled one: `--verify` fails if they differ.
fn row(command: &str, name: &str, record: &Value) -> Value {
    let args = [command, "--model", &model(name), "--jsonl", "--verify", "--verify-least", "1"];
    serde_json::from_str(&stdout(run_with(&args, record.to_string().as_bytes()))).unwrap()
}

const TEXTS: [&str; 3] = ["The cat sat on the mat.", "Zoë met Émile in Paris, by the river.", ""];

/// What bert-classify says of [`TEXTS`] in f32, as the golden logits have it: good, bad, bad.
#[test]
fn evaluate_counts_labels() {
    let files = Files::new();
    let bert = model("bert-classify");
    let label = |text: &str, label: Value| json!({"text": text, "label": label});
    let all = [label(TEXTS[0], json!("good")), label(TEXTS[1], json!(1)), label(TEXTS[2], json!(0))];
    let file = files.lines("labels.jsonl", &all);
    let found = evaluate(&bert, "--labelled", &file, &[]);
    assert_eq!((&found["records"], &found["sequences"], &found["task"]), (&json!(3), &json!(3), &json!("classify")));
    let results = found["results"].as_array().unwrap();
    assert_eq!(results.iter().map(|row| row["name"].as_str().unwrap()).collect::<Vec<_>>(), ["f32", "int8"]);
    let expected =
        ["accuracy", "macro_f1", "matthews", "micro_f1", "milliseconds_per_sequence", "model", "name", "sparsity"];
    assert_eq!(keys(&results[0]), expected);
    // By hand: gold 2, 1, 0; predicted 2, 0, 0. F1 of 0 is 2 / 3, of 1 it is 0, of 2 it is 1. Matthews: (2 * 3 - 3) / sqrt(4 * 6).
    for (name, expected) in
        [("accuracy", 2.0 / 3.0), ("macro_f1", 5.0 / 9.0), ("micro_f1", 2.0 / 3.0), ("matthews", 3.0 / 24.0_f64.sqrt())]
    {
        assert!((score(&results[0], name) - expected).abs() < 1e-9, "{name}: {found}");
    }
    assert!(score(&results[1], "milliseconds_per_sequence") > 0.0);

    let table = files.write(
        "labels.csv",
        "text,pair,label\nThe cat sat on the mat.,,good\n\"Zoë met Émile in Paris, by the river.\",,1\n,,0\n",
    );
    assert_eq!(evaluate(&bert, "--labelled", &table, &[])["results"][0]["accuracy"], results[0]["accuracy"]);
    let text = stdout(run(&["evaluate", "--model", &bert, "--labelled", &table]));
    assert!(text.contains(": 3 texts, calibrated on ") && text.contains("macro F1  micro F1  Matthews"), "{text}");
}

#[test]
fn evaluate_takes_sparsities_and_packed_files_of_tasks() {
    let files = Files::new();
    let (bert, packed) = (model("bert-classify"), files.at("m.lacuna"));
    let file = files.write("labels.csv", "The cat sat on the mat.,good\nIt was dull!,bad\n");
    let found = evaluate(&bert, "--labelled", &file, &["--sparsity", "0,0.5"]);
    let names: Vec<(&str, Option<f64>)> = found["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["name"].as_str().unwrap(), row["sparsity"].as_f64()))
        .collect();
    let pruned = |sparsity| [("f32 pruned", Some(sparsity)), ("int8", Some(sparsity))];
    assert_eq!(names, [&[("f32", None)][..], &pruned(0.0), &pruned(0.5)].concat());
    assert_eq!(found["results"][1]["accuracy"], found["results"][0]["accuracy"]);

    stdout(run(&["pack", "--model", &bert, "--output", &packed]));
    let of_packed = evaluate(&packed, "--labelled", &file, &[]);
    assert_eq!(of_packed["results"].as_array().unwrap().len(), 1);
    let int8 = &evaluate(&bert, "--labelled", &file, &[])["results"][1];
    assert_eq!(
        (&of_packed["results"][0]["name"], &of_packed["results"][0]["macro_f1"]),
        (&json!("packed"), &int8["macro_f1"])
    );
    let args = ["evaluate", "--model", &packed, "--labelled", &file];
    assert!(stdout(run(&args)).contains("it holds no f32 weights to compare with"));
    refuses(&[&args[..], &["--sparsity", "0.5"]].concat(), "needs the f32 weights");
    refuses(&[&args[..], &["--calibrate", &file]].concat(), "needs the f32 weights");
}

/// Rows of a folder and of packed files beside each other, for tasks with a head and for pairs.
#[test]
fn evaluate_shows_models_side_by_side() {
    let files = Files::new();
    let (bert, packed, small) = (model("bert-classify"), files.at("m.lacuna"), files.at("small.lacuna"));
    let labels = files.write("labels.csv", "The cat sat on the mat.,good\nIt was dull!,bad\n");
    let pairs = files.write("pairs.csv", "The cat sat.,It was dull!,1\nthe film,the river,2\nParis,the old river,3\n");
    stdout(run(&["pack", "--model", &bert, "--output", &packed]));
    stdout(run(&["pack", "--model", &bert, "--small-tables", "--output", &small]));
    for (option, file, rows, score) in
        [("--labelled", &labels, "results", "macro_f1"), ("--pairs", &pairs, "measured", "spearman")]
    {
        let found = evaluate(&bert, option, file, &["--packed", &packed, &small]);
        let rows = found[rows].as_array().unwrap();
        let named: Vec<[&str; 2]> =
            rows.iter().map(|row| ["model", "name"].map(|key| row[key].as_str().unwrap())).collect();
        assert_eq!(named, [[&*bert, "f32"], [&*bert, "int8"], [&*packed, "packed"], [&*small, "packed"]]);
        assert_eq!(rows[1][score], rows[2][score], "{found}");
        assert!(rows.iter().all(|row| row["milliseconds_per_sequence"].as_f64().unwrap() > 0.0), "{found}");

        // Without a folder: the packed files alone.
        let args = ["evaluate", option, file, "--packed", &packed, &small];
        let text = stdout(run(&args));
        let lines: Vec<&str> = text.lines().filter(|line| line.contains(", packed (")).collect();
        assert!(lines.len() == 2 && lines[0].starts_with(&packed) && lines[1].starts_with(&small), "{text}");
        assert!(text.contains("it holds no f32 weights to compare with"), "{text}");
        refuses(&[&args[..], &["--sparsity", "0.5"]].concat(), "needs the f32 weights");
        refuses(&["evaluate", "--model", &bert, option, file, "--packed", &labels], "not a packed model");
    }
    let found = evaluate(&bert, "--pairs", &pairs, &["--packed", &packed]);
    assert_eq!(found["measured"][1]["milliseconds_per_sequence"], found["milliseconds_per_sentence_int8"]);
    assert_eq!(found["measured"][2]["cosine_mean"], found["cosine_mean"]);
    refuses(&["evaluate", "--labelled", &labels], "the shipped model only embeds");
}

#[test]
fn evaluate_counts_ranks() {
    let files = Files::new();
    // The golden logits: -1.60, -1.38, -1.83.
    let texts = ["On the mat, by the old river.", "Zoë met Émile in Paris.", "rain"];
    let query = |relevances: [f64; 3]| {
        let passages =
            texts.iter().zip(relevances).map(|(text, relevance)| json!({"text": text, "relevance": relevance}));
        json!({"query": "Who met Zoë?", "passages": passages.collect::<Vec<_>>()})
    };
    let file = files.lines("ranked.jsonl", &[query([0.0, 1.0, 0.0]), query([0.0, 0.0, 2.0]), query([0.0; 3])]);
    let found = evaluate(&model("bert-rank"), "--ranked", &file, &[]);
    assert_eq!((&found["records"], &found["sequences"]), (&json!(3), &json!(9)));
    let f32 = &found["results"][0];
    // The relevant passage is first, third, nowhere.
    assert!((score(f32, "mrr_at_10") - (1.0 + 1.0 / 3.0) / 3.0).abs() < 1e-9, "{found}");
    assert!((score(f32, "ndcg_at_10") - (1.0 + 0.5) / 3.0).abs() < 1e-9, "{found}");
    let text = stdout(run(&["evaluate", "--model", &model("bert-rank"), "--ranked", &file]));
    assert!(text.contains(": 3 queries, ") && text.contains("MRR@10  nDCG@10"), "{text}");
}

#[test]
fn evaluate_counts_answers() {
    let files = Files::new();
    let context = "Zoë met Émile in Paris, by the old river.";
    let mut question = json!({"question": "Who met Émile?", "context": context});
    let answer = row("answer", "bert-answer", &question)["answers"][0]["answer"].as_str().unwrap().to_owned();
    question["answers"] = json!(["nobody", answer.to_uppercase()]);
    let mut wrong = question.clone();
    wrong["answers"] = json!(["nobody"]);
    let file = files.lines("questions.jsonl", &[question.clone(), wrong]);
    let found = evaluate(&model("bert-answer"), "--questions", &file, &[]);
    for row in found["results"].as_array().unwrap() {
        assert_eq!((score(row, "exact_match"), score(row, "f1")), (0.5, 0.5), "{found}");
    }
    // A question without an answer allows that as an answer; the model still finds one.
    question["answers"] = json!([]);
    let file = files.lines("none.jsonl", &[question]);
    assert_eq!(score(&evaluate(&model("bert-answer"), "--questions", &file, &[])["results"][0], "exact_match"), 0.0);
}

#[test]
fn evaluate_counts_entities() {
    let files = Files::new();
    let text = "Zoë met Émile in Paris";
    let record = json!({"text": text});
    // What the command finds is right, whatever it is.
    let entities = row("tag", "bert-tag", &record)["entities"].clone();
    let count = entities.as_array().unwrap().len();
    assert!(count > 0);
    let spans = files.lines("spans.jsonl", &[json!({"text": text, "entities": entities})]);
    let found = evaluate(&model("bert-tag"), "--tagged", &spans, &[]);
    for row in found["results"].as_array().unwrap() {
        assert_eq!([score(row, "f1"), score(row, "precision"), score(row, "recall")], [1.0; 3], "{found}");
    }
    // The tags of the same words say the same.
    let words: Vec<&str> = text.split(' ').collect();
    let mut start = 0;
    let tags = words.iter().map(|word| {
        let place = start..start + word.len();
        start = place.end + 1;
        let at = |entity: &&Value, name: &str| usize::try_from(entity[name].as_u64().unwrap()).unwrap();
        let inside = |entity: &&Value| at(entity, "start") <= place.start && at(entity, "end") >= place.end;
        entities.as_array().unwrap().iter().find(inside).map_or("O".to_owned(), |entity| {
            let prefix = if at(&entity, "start") == place.start { "B" } else { "I" };
            format!("{prefix}-{}", entity["label"].as_str().unwrap())
        })
    });
    let tags: Vec<String> = tags.collect();
    let file = files.lines("words.jsonl", &[json!({"tokens": words, "tags": tags})]);
    let found = evaluate(&model("bert-tag"), "--tagged", &file, &[]);
    assert_eq!(score(&found["results"][0], "f1"), 1.0, "{tags:?}: {found}");
    // Without gold spans nothing is recalled, and nothing found is right. The tag is a number of the head's labels, which is O.
    let file = files.lines("none.jsonl", &[json!({"tokens": words, "tags": [0, 0, 0, 0, 0]})]);
    let row = evaluate(&model("bert-tag"), "--tagged", &file, &[])["results"][0].clone();
    assert_eq!([score(&row, "f1"), score(&row, "precision"), score(&row, "recall")], [0.0; 3]);
}

#[test]
fn evaluate_names_the_line_that_is_wrong() {
    let files = Files::new();
    for (name, option, file, content, expected) in [
        (
            "bert-classify",
            "--labelled",
            "a.csv",
            "a,good\nb,great\n",
            "a.csv: line 2: found label \"great\"; expected one of bad, so so, good",
        ),
        (
            "bert-classify",
            "--labelled",
            "a.csv",
            "a,3\n",
            "a.csv: line 1: found label 3; expected a number from 0 to 2",
        ),
        ("bert-classify", "--labelled", "a.csv", "a,b,0\na\n", "a.csv: line 2: found 1 field"),
        ("bert-classify", "--labelled", "a.csv", "", "a.csv: line 1: found no row with a label"),
        ("bert-classify", "--labelled", "a.csv", "text,label\n", "a.csv: line 1: found no row with a label"),
        (
            "bert-classify",
            "--labelled",
            "a.jsonl",
            "{\"text\":\"a\",\"label\":0}\n{\"text\":\"a\"}\n",
            "a.jsonl: line 2: found missing field `label`",
        ),
        ("bert-classify", "--labelled", "a.jsonl", "{\"text\":\"a\",\"label\":-1}\n", "a.jsonl: line 1: found "),
        ("bert-classify", "--labelled", "a.jsonl", "", "a.jsonl: line 1: found the end of the file"),
        (
            "bert-classify",
            "--labelled",
            "a.jsonl",
            "{\"text\":\"a\",\"label\":0}\n\n",
            "a.jsonl: line 2: found an empty line",
        ),
        ("bert-rank", "--labelled", "a.csv", "a,0\n", "--labelled: found a model with 1 label"),
        ("bert-rank", "--ranked", "a.jsonl", "{\"query\":\"a\",\"passages\":[]}\n", "line 1: found no passages"),
        (
            "bert-rank",
            "--ranked",
            "a.jsonl",
            "{\"query\":\"a\",\"passages\":[{\"text\":\"b\"}]}\n",
            "line 1: found missing field `relevance`",
        ),
        (
            "bert-rank",
            "--ranked",
            "a.jsonl",
            "{\"query\":\"a\",\"passages\":[{\"text\":\"b\",\"relevance\":-1}]}\n",
            "line 1: found relevance -1",
        ),
        (
            "bert-answer",
            "--questions",
            "a.jsonl",
            "{\"question\":\"a\",\"context\":\"b\"}\n",
            "line 1: found missing field `answers`",
        ),
        ("bert-answer", "--questions", "a.jsonl", "[1]\n", "line 1: found no JSON object"),
        (
            "bert-tag",
            "--tagged",
            "a.jsonl",
            "{\"tokens\":[\"a\"],\"tags\":[\"B-MISC\"]}\n",
            "line 1: found label \"MISC\"; expected one of LOC, PER",
        ),
        (
            "bert-tag",
            "--tagged",
            "a.jsonl",
            "{\"tokens\":[\"a\"],\"tags\":[5]}\n",
            "line 1: found label 5; expected a number from 0 to 4",
        ),
        ("bert-tag", "--tagged", "a.jsonl", "{\"tokens\":[\"a\"],\"tags\":[]}\n", "line 1: found 1 token and 0 tags"),
        (
            "bert-tag",
            "--tagged",
            "a.jsonl",
            "{\"text\":\"\u{e9}\",\"entities\":[{\"start\":0,\"end\":1,\"label\":\"PER\"}]}\n",
            "line 1: found start 0 and end 1 in a text of 2 bytes",
        ),
        (
            "bert-tag",
            "--tagged",
            "a.jsonl",
            "{\"text\":\"a\",\"entities\":[]}\n{\"tokens\":[],\"tags\":[]}\n",
            "line 2: found tokens, tags; expected ",
        ),
        (
            "bert-tag",
            "--questions",
            "a.jsonl",
            "{\"question\":\"a\",\"context\":\"b\",\"answers\":[]}\n",
            "ForQuestionAnswering",
        ),
    ] {
        let path = files.write(file, content);
        let line = refusal(run(&["evaluate", "--model", &model(name), option, &path]));
        assert!(line.contains(expected), "{content:?}: expected {expected:?}: {line}");
    }
    let missing = files.at("missing.jsonl");
    refuses(&["evaluate", "--model", &model("bert-rank"), "--ranked", &missing], "missing.jsonl: cannot ");
}

#[test]
fn evaluate_takes_one_file() {
    let files = Files::new();
    let file = files.write("a.csv", "a,0\n");
    for more in [&[][..], &["--labelled", &file, "--pairs", &file], &["--labelled", &file, "--schemes"]] {
        let output = run(&[&["evaluate", "--model", &model("bert-classify")], more].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("--pairs"));
    }
}
