//! The shipped model, which runs where no other is named.

use lacuna_assets::{FILE, minilm_80};
use serde_json::Value;

use crate::{generates_code, refusal, run, run_with, stdout};

/// What the project promises of the file.
const MOST_BYTES: usize = 16_000_000;

#[test]
fn the_file_is_there_and_not_too_large() {
    let bytes = minilm_80().unwrap_or_else(|| panic!("{FILE} is missing: assets/make.sh makes it"));
    assert!(bytes.len() <= MOST_BYTES, "{} bytes", bytes.len());
    assert_eq!(bytes.as_ptr().align_offset(64), 0);
}

fn vectors(output: std::process::Output) -> Vec<Vec<f64>> {
    let row = |line: &str| -> Vec<f64> {
        let row: Value = serde_json::from_str(line).unwrap();
        row["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    stdout(output).lines().map(row).collect()
}

#[test]
fn texts_are_embedded_without_a_model_and_that_is_said() {
    let input = b"A cat sleeps on the sofa.\nA kitten naps on the couch.\nHeavy rain is expected.\n";
    let output = run_with(&["embed"], input);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let said: Vec<&str> = said.lines().filter(|line| line.contains("no --model")).collect();
    assert!(matches!(said[..], [line] if line.contains("all-MiniLM-L6-v2")), "{said:?}");
    let found = vectors(output);
    let dot = |a: usize, b: usize| found[a].iter().zip(&found[b]).map(|(x, y)| x * y).sum::<f64>();
    assert_eq!((found.len(), found[0].len()), (3, 384));
    assert!((dot(0, 0) - 1.0).abs() < 1e-3, "it is normalised");
    assert!(dot(0, 1) > dot(0, 2) + 0.2, "{} {}", dot(0, 1), dot(0, 2));
    // Nothing is said where nothing is to be said.
    let quiet = run_with(&["embed", "--quiet"], input);
    assert!(quiet.stderr.is_empty());
    assert_eq!(vectors(quiet), found);
    let portable = run_with(&["embed", "--tier", "portable"], b"A cat sleeps on the sofa.\n");
    assert_eq!(vectors(portable)[0], found[0]);
}

#[test]
fn what_it_cannot_do_is_refused() {
    for (args, expected) in [
        (&["embed", "--sparsity", "0.9"][..], "the shipped model: --sparsity needs the f32 weights"),
        (&["embed", "--verify"], "needs the f32 weights"),
        (&["embed", "--weights", "x"], "--weights: found x without a model"),
        (&["embed", "--offline"], "--offline: found no --from-hub"),
        (&["inspect", "--form", "dense"], "--form: found dense"),
        (&["demo", "--tokens", "513"], "1 to 512, the positions of the shipped model"),
    ] {
        let output = run(args);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && stderr.contains(expected), "{args:?}: {stderr}");
    }
    assert!(refusal(run(&["rank", "--query", "Where?"])).contains("--model <DIR>"));
}

#[test]
fn it_is_shown_and_measured() {
    let shown: Value = serde_json::from_str(&stdout(run(&["inspect", "--json"]))).unwrap();
    assert_eq!(
        (&shown["file"], &shown["layers"], &shown["features"]),
        (&"the shipped model".into(), &6.into(), &384.into())
    );
    let density = |linear: &Value| linear["density"].as_f64().unwrap();
    let linears = shown["report"]["linears"].as_array().unwrap();
    assert!(linears.iter().all(|linear| linear["form"] == "sparse 4x1"));
    let weights = |linear: &Value| (linear["m"].as_u64().unwrap() * linear["k"].as_u64().unwrap()) as f64;
    let stored: f64 = linears.iter().map(|linear| density(linear) * weights(linear)).sum();
    let all: f64 = linears.iter().map(weights).sum();
    assert!(stored / all < 0.2001, "{}", stored / all);

    let folder = tempfile::tempdir().unwrap();
    let pairs = folder.path().join("pairs.csv");
    let rows =
        "A cat sleeps.,A kitten naps.,4.5\nA cat sleeps.,It rains.,0.2\nThe train is late.,The train is delayed.,5\n";
    std::fs::write(&pairs, rows).unwrap();
    let found = run(&["evaluate", "--pairs", pairs.to_str().unwrap(), "--json"]);
    let found: Value = serde_json::from_str(&stdout(found)).unwrap();
    assert_eq!(found["measured"][0]["model"], "the shipped model");
    assert!(found["spearman_int8"].as_f64().unwrap() > 0.4, "{found}");
}

#[test]
fn the_demo_runs_it() {
    let text = stdout(run(&["demo", "--tokens", "16"]));
    for expected in [
        "cosine similarities of 8 sentences",
        "A kitten naps",
        "same meaning nearest   ok",
        "1 x 16 tokens, 1 thread",
        "dense f32",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("FAILED"), "{text}");
    assert_eq!(text.contains("generated = portable   ok"), generates_code(), "{text}");
}

#[test]
fn the_demo_of_it_as_json() {
    let demo: Value =
        serde_json::from_str(&stdout(run(&["demo", "--tokens", "5", "--json", "--tier", "portable"]))).unwrap();
    assert_eq!(demo["tier"], "portable");
    let names: Vec<&str> =
        demo["times"].as_array().unwrap().iter().map(|time| time["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["dense f32", "dense int8", "sparse int8"]);
    let similarities = demo["similarities"].as_array().unwrap();
    assert_eq!((similarities.len(), similarities[0].as_array().unwrap().len()), (8, 8));
    assert_eq!(demo["sentences"].as_array().unwrap().len(), 8);
    assert!(demo["open_ms"].as_f64().unwrap() > 0.0 && demo["bytes"].as_u64().unwrap() > 1_000_000);
}
