//! `lacuna classify`, `rank`, `tag`, `answer`, `fill`, on the library's fixtures.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::{keys, refusal, refuses, run, run_with, stdout, stopped};

fn model(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/heads").join(name);
    folder.to_str().unwrap().to_owned()
}

fn rows(command: &str, name: &str, more: &[&str], input: &str) -> Vec<Value> {
    let text = stdout(run_with(&[&[command, "--model", &model(name)], more].concat(), input.as_bytes()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The scores of a list, which must not increase.
fn sorted(list: &Value) -> Vec<f64> {
    let scores: Vec<f64> = list.as_array().unwrap().iter().map(|one| one["score"].as_f64().unwrap()).collect();
    assert!(scores.windows(2).all(|pair| pair[0] >= pair[1]), "{list}");
    scores
}

/// The last layer of a masked language model is stored, or it is the word embedding table.
#[test]
fn a_last_layer_that_is_neither_stored_nor_shared_is_refused() {
    for (name, tensor) in [
        ("bert-fill", "cls.predictions.decoder.weight"),
        ("distilbert-fill", "vocab_projector.weight"),
        ("electra-fill", "generator_lm_head.weight"),
        ("roberta-fill", "lm_head.decoder.weight"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        for file in ["model.safetensors", "tokenizer.json", "config.json"] {
            fs::copy(Path::new(&model(name)).join(file), dir.path().join(file)).unwrap();
        }
        let path = dir.path().join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for (tie, expected) in [
            (json!(false), format!("invalid tie_word_embeddings: found false, and weights without {tensor}")),
            (json!("no"), "invalid tie_word_embeddings: found \"no\"; expected true or false".to_owned()),
        ] {
            config["tie_word_embeddings"] = tie;
            fs::write(&path, config.to_string()).unwrap();
            let line = refusal(run_with(&["fill", "--model", dir.path().to_str().unwrap()], b"a [MASK]"));
            assert!(line.contains(&expected), "{line}");
        }
    }
}

#[test]
fn texts_and_pairs_are_classified() {
    let lines = rows("classify", "bert-classify", &[], "The cat sat.\n\nIt was dull!");
    assert_eq!(
        lines.iter().map(|row| row["text"].as_str().unwrap()).collect::<Vec<_>>(),
        ["The cat sat.", "", "It was dull!"]
    );
    for row in &lines {
        assert_eq!(keys(row), ["labels", "text"]);
        assert!((sorted(&row["labels"]).iter().sum::<f64>() - 1.0).abs() < 1e-5, "{row}");
    }
    let input = r#"{"text": "The cat sat."}
{"text": "The cat sat.", "pair": "On a mat."}"#;
    let json = rows("classify", "bert-classify", &["--jsonl", "--top-k", "1"], input);
    assert_eq!(json[0]["labels"].as_array().unwrap().len(), 1);
    assert_eq!(json[1]["pair"], "On a mat.");
    let raised =
        rows("classify", "distilbert-classify", &["--sparsity", "0.5", "--threads", "2"], "Paris by the river");
    assert_eq!(sorted(&raised[0]["labels"]).len(), 3);
}

#[test]
fn passages_are_ranked() {
    let input = "On the mat.\nZoë met Émile in Paris.\nrain";
    let found = rows("rank", "bert-rank", &["--query", "Who met Zoë?"], input);
    assert_eq!(found.len(), 1);
    assert_eq!(sorted(&found[0]["ranking"]).len(), 3);
    for place in found[0]["ranking"].as_array().unwrap() {
        let index = usize::try_from(place["index"].as_u64().unwrap()).unwrap();
        assert_eq!(place["passage"], input.lines().nth(index).unwrap());
    }
    let record = json!({"query": "Who met Zoë?", "passages": input.lines().collect::<Vec<_>>()}).to_string();
    let input = format!("{record}\n{}\n", json!({"query": "nothing", "passages": []}));
    let json = rows("rank", "bert-rank", &["--jsonl"], &input);
    assert_eq!(json[0], found[0]);
    assert_eq!(json[1], json!({"query": "nothing", "ranking": []}));
    let raw = rows("rank", "bert-rank", &["--jsonl", "--raw", "--top-k", "2"], &input);
    for (raw, score) in sorted(&raw[0]["ranking"]).iter().zip(sorted(&json[0]["ranking"])) {
        assert!((1.0 / (1.0 + (-raw).exp()) - score).abs() < 1e-6);
    }
    let line = refusal(run_with(&["rank", "--model", &model("bert-classify"), "--query", "a"], b"b"));
    assert!(line.contains("one label, or two") && line.contains("with 3 labels"), "{line}");
}

#[test]
fn spans_are_tagged_and_answers_found() {
    let text = "Zoë met Émile in Paris, by the river.";
    let tagged = rows("tag", "bert-tag", &[], text);
    let entities = tagged[0]["entities"].as_array().unwrap();
    assert!(!entities.is_empty());
    for entity in entities {
        assert_eq!(keys(entity), ["end", "end_char", "label", "score", "start", "start_char", "text"]);
        assert_eq!(entity["text"], text[part(entity)], "{entity}");
        assert!(["PER", "LOC"].contains(&entity["label"].as_str().unwrap()));
    }
    let ask = |more: &[&str], input: &str| rows("answer", "roberta-answer", more, input);
    let found = ask(&["--question", "Who met Émile?", "--top-k", "3", "--max-tokens", "4"], text);
    assert_eq!(sorted(&found[0]["answers"]).len(), 3);
    for answer in found[0]["answers"].as_array().unwrap() {
        assert_eq!(keys(answer), ["answer", "end", "end_char", "logit", "score", "start", "start_char"]);
        assert_eq!(answer["answer"], text[part(answer)], "{answer}");
    }
    let record = json!({"question": "Who met Émile?", "context": text}).to_string();
    assert_eq!(ask(&["--jsonl", "--top-k", "3", "--max-tokens", "4"], &record), found);
    let all = ask(&["--jsonl", "--top-k", "100", "--allow-none"], &record);
    let none: Vec<&Value> = all[0]["answers"].as_array().unwrap().iter().filter(|a| a["answer"].is_null()).collect();
    assert!(none.len() == 1 && none[0]["start"].is_null() && none[0]["end"].is_null(), "{none:?}");
}

/// Of every command, in the order and spelling of the input; an array where an object is meant is refused.
#[test]
fn fields_that_a_command_does_not_know_are_kept() {
    let fields = r#""id":12345678901234567890123,"meta":{"b":[1e3],"a":"\u00e9"}"#;
    for (command, name, line, first, result) in [
        ("classify", "bert-classify", r#""text":"a cat","pair":"a dog""#, r#""text":"a cat","pair":"a dog""#, "labels"),
        ("rank", "bert-rank", r#""query":"a","passages":["b"]"#, r#""query":"a""#, "ranking"),
        ("tag", "bert-tag", r#""text":"the cat""#, r#""text":"the cat""#, "entities"),
        ("answer", "bert-answer", r#""question":"a","context":"the cat""#, r#""question":"a""#, "answers"),
        ("fill", "bert-fill", r#""text":"a [MASK]""#, r#""text":"a [MASK]""#, "masks"),
    ] {
        let ask = |line: &str| {
            run_with(&[command, "--on-error", "stop", "--model", &model(name), "--jsonl"], line.as_bytes())
        };
        let found = stdout(ask(&format!("{{{fields},{line}}}")));
        assert!(found.starts_with(&format!("{{{first},{fields},\"{result}\":[")), "{command}: {found}");
        let refused = refusal(ask(&format!("{{{line},\"{result}\":1}}")));
        assert!(refused.contains(&format!("a field \"{result}\", which is the result's")), "{command}: {refused}");
        let refused = refusal(ask(r#"["a","b"]"#));
        assert!(refused.contains("found an array, expected a JSON object"), "{command}: {refused}");
    }
}

#[test]
fn strategies_and_schemes_are_options() {
    let text = "Zoë met Émile in Paris, by the river.";
    let tag = |more: &[&str]| rows("tag", "bert-tag", more, text);
    let first = tag(&[]);
    assert_eq!(tag(&["--aggregation", "first", "--scheme", "bio"]), first);
    for how in ["simple", "average", "max"] {
        let found = tag(&["--aggregation-strategy", how]);
        assert!(
            found[0]["entities"].as_array().unwrap().iter().all(|e| e["text"] == text[part(e)]),
            "{how}: {found:?}"
        );
    }
    let none = tag(&["--aggregation", "none"]);
    let labels = none[0]["entities"].as_array().unwrap().iter().map(|entity| entity["label"].as_str().unwrap());
    assert!(
        labels.clone().count() > 0 && labels.clone().all(|label| label.starts_with("B-") || label.starts_with("I-"))
    );
    let io = tag(&["--scheme", "io"]);
    let labels = io[0]["entities"].as_array().unwrap().iter().map(|entity| entity["label"].as_str().unwrap());
    assert!(labels.clone().all(|label| !label.starts_with("I-")), "{io:?}");
    refuses(&["tag", "--model", "x", "--aggregation", "mean"], "possible values: none, simple, first, average, max");
    refuses(&["tag", "--model", "x", "--scheme", "iob"], "possible values: io, bio, bioes, bilou");
}

fn part(span: &Value) -> std::ops::Range<usize> {
    let at = |key: &str| usize::try_from(span[key].as_u64().unwrap()).unwrap();
    at("start")..at("end")
}

#[test]
fn masks_are_filled() {
    for (name, text) in [("bert-fill", "Zoë met [MASK] in [MASK]."), ("roberta-fill", "Zoë met <mask> in <mask>.")] {
        let found = rows("fill", name, &["--top-k", "3"], text);
        let masks = found[0]["masks"].as_array().unwrap();
        assert_eq!(masks.len(), 2);
        for mask in masks {
            assert!(["[MASK]", "<mask>"].contains(&&text[part(mask)]), "{mask}");
            assert_eq!(sorted(&mask["candidates"]).len(), 3);
            assert_eq!(keys(&mask["candidates"][0]), ["id", "logit", "score", "sequence", "token"]);
        }
    }
    let (written, line) =
        stopped(run_with(&["fill", "--on-error", "stop", "--model", &model("bert-fill")], b"a [MASK]\na cat"));
    assert_eq!(written.lines().count(), 1);
    assert!(line.contains("standard input: line 2: found nothing to fill in; expected [MASK]"), "{line}");
    let (_, line) = stopped(run_with(&["fill", "--on-error", "stop", "--model", &model("roberta-fill")], b"a [MASK]"));
    assert!(line.contains("found [MASK], the mask of other models; expected <mask>"), "{line}");
}

#[test]
fn remarks_calibration_and_output_are_as_of_embed() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (texts, pairs, output) = (path("texts.txt"), path("pairs.jsonl"), path("out.jsonl"));
    fs::write(&texts, "the cat sat\na dog went home\n").unwrap();
    fs::write(&pairs, "{\"text\": \"the cat\", \"pair\": \"a dog\"}\n").unwrap();
    let model = model("bert-classify");
    let classify = ["classify", "--model", &model];
    let long = "cat ".repeat(60);
    let done = run_with(&[&classify[..], &["--report"]].concat(), format!("a cat\n{long}").as_bytes());
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(said.contains(" of the built-in collection") && said.contains("--calibrate FILE"), "{said}");
    assert!(said.contains("line 2: 62 tokens, truncated: the model takes 40"), "{said}");
    assert!(said.contains("BERT, 2 layers"), "{said}");
    for file in [&texts, &pairs] {
        let done =
            run_with(&[&classify[..], &["--quiet", "--calibrate", file, "--output", &output]].concat(), b"a cat");
        assert_eq!(String::from_utf8_lossy(&done.stderr), "");
        assert_eq!(stdout(done), "");
        assert!(fs::read_to_string(&output).unwrap().starts_with("{\"text\":\"a cat\",\"labels\":[{\"label\":"));
    }
    fs::write(&pairs, "{\"txt\": \"the cat\", \"pair\": \"a dog\"}\n").unwrap();
    let line = refusal(run_with(&[&classify[..], &["--calibrate", &pairs]].concat(), b"a cat"));
    assert!(line.contains("pairs.jsonl: line 1: found missing field `text`"), "{line}");
}

/// The int8 encoder beside the f32 reference, for every kind of head.
#[test]
fn results_are_verified_and_said_as_json() {
    let ask = ["--question", "Who met Émile?"];
    let text = "Zoë met Émile in Paris.";
    for (command, name, more, input) in [
        ("classify", "bert-classify", &["--top-k", "2"][..], "The cat sat.\nIt was dull!".to_owned()),
        ("rank", "bert-rank", &["--query", "who"], format!("{text}\nrain")),
        ("tag", "bert-tag", &[], text.to_owned()),
        ("answer", "bert-answer", &ask, text.to_owned()),
        ("fill", "bert-fill", &[], "Zoë met [MASK] in [MASK].".to_owned()),
    ] {
        let model = model(name);
        let args = [&[command, "--model", &model, "--verify"], more].concat();
        let said = run_with(&args, input.as_bytes());
        let words = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(words.contains("compared with the f32 reference: ") && words.contains(" decisions equal ("), "{words}");
        let output = run_with(&[&args[..], &["--json"]].concat(), input.as_bytes());
        let json: Value = serde_json::from_slice(&output.stderr).unwrap();
        let written = stdout(output);
        assert_eq!(written, stdout(said), "{command}");
        assert_eq!(
            keys(&json),
            [
                "calibration",
                "head",
                "lines",
                "remarks",
                "report",
                "saturation",
                "seconds",
                "texts",
                "tier",
                "tokens",
                "truncated",
                "truncated_count",
                "verify",
                "without_result"
            ]
        );
        assert_eq!(json["lines"], written.lines().count());
        let verify = &json["verify"];
        assert_eq!(keys(verify), ["decisions", "equal", "largest_difference", "share"]);
        let (decisions, equal) = (verify["decisions"].as_u64().unwrap(), verify["equal"].as_u64().unwrap());
        let expected = match command {
            "classify" | "fill" => 2,
            "rank" | "answer" => 1,
            _ => decisions,
        };
        assert!(decisions == expected && decisions > 0 && equal <= decisions, "{command}: {verify}");
        let difference = verify["largest_difference"].as_f64().unwrap();
        assert!(difference > 0.0 && difference < 0.2, "{command}: {verify}");
        assert!(words.contains(&format!("{equal} of {decisions} decisions")), "{words}");
    }
    let long = "cat ".repeat(60);
    let record = json!({"query": "a", "passages": ["b", long]}).to_string();
    let output = run_with(&["rank", "--model", &model("bert-rank"), "--jsonl", "--json"], record.as_bytes());
    let json: Value = serde_json::from_slice(&output.stderr).unwrap();
    let cut = &json["truncated"][0];
    assert_eq!((&cut["line"], &cut["passage"]), (&json!(1), &json!(1)), "{json}");
    assert_eq!(json["verify"], Value::Null);
}

#[test]
fn other_models_and_other_lines_are_refused() {
    let refused = |args: &[&str], input: &[u8]| refusal(run_with(args, input));
    let (classify, plain) = (model("bert-classify"), model("../bert"));
    let line = refused(&["tag", "--model", &classify], b"a cat");
    assert!(line.contains("found BertForSequenceClassification with 3 labels; expected"), "{line}");
    let line = refused(&["classify", "--model", &plain], b"a cat");
    assert!(line.contains("no head that is run here: found architectures BertModel"), "{line}");
    for (input, expected) in [
        (&b"{\"text\": \"a\"}\nb"[..], "standard input: line 2: found expected value"),
        (b"{\"pair\": \"a\"}", "missing field `text`"),
        (b"{\"text\": 1}", "expected a string"),
    ] {
        let (_, line) = stopped(run_with(&["classify", "--on-error", "stop", "--model", &classify, "--jsonl"], input));
        assert!(line.contains(expected) && line.contains(r#"expected {"text": "..."}"#), "{line}");
    }
    refuses(&["rank", "--model", "x"], "--query");
    refuses(&["answer", "--model", "x", "--question", "a", "--jsonl"], "--question: found JSON lines as input");
    refuses(&["fill", "--model", "x", "--top-k", "0"], "at least 1");
    let line = refusal(run(&["fill", "--model", "/does/not/exist"]));
    assert!(line.contains("/does/not/exist/config.json: cannot open"), "{line}");
    let line = refused(
        &["answer", "--on-error", "stop", "--model", &model("bert-answer"), "--question", &"who ".repeat(50)],
        b"the cat sat",
    );
    assert!(line.contains("standard input: line 1: the question takes 53 of 40 tokens"), "{line}");
}

#[test]
fn an_empty_cell_is_no_pair() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pairs.csv");
    fs::write(&path, "text,pair\nThe cat sat.,\nThe cat sat.,On a mat.\n").unwrap();
    let found = rows("classify", "bert-classify", &["--input", path.to_str().unwrap()], "");
    assert_eq!(keys(&found[0]), ["labels", "text"]);
    assert_eq!(found[1]["pair"], "On a mat.");
    assert_eq!(found[0], rows("classify", "bert-classify", &[], "The cat sat.")[0]);
}

/// Logits need no function for scores: none is assumed, and one that is not known is no matter.
#[test]
fn raw_scores_need_no_function() {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(model("bert-rank")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    let config = dir.path().join("config.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    json["sentence_transformers"] = json!({"activation_fn": "torch.nn.modules.activation.Softmax"});
    fs::write(&config, json.to_string()).unwrap();
    let folder = dir.path().to_str().unwrap();
    let rank = |model: &str, more: &[&str]| {
        run_with(&[&["rank", "--query", "a", "--model", model], more].concat(), b"the cat")
    };
    assert!(refusal(rank(folder, &[])).contains("Softmax"));
    let own = rank(&model("bert-rank"), &["--raw"]);
    let said = String::from_utf8_lossy(&own.stderr).into_owned();
    assert!(!said.contains("scores:"), "{said}");
    assert_eq!(stdout(rank(folder, &["--raw"])), stdout(own));
}

#[test]
fn an_overlap_that_is_too_large_is_an_error_of_the_line() {
    let refused = |args: &[&str]| refusal(run_with(args, b"the cat"));
    let (answer, tag) = (model("bert-answer"), model("bert-tag"));
    let line = refused(&["answer", "--model", &answer, "--question", "who", "--overlap", "37"]);
    assert!(line.contains("--overlap: found 37; expected less than 36, the tokens of context"), "{line}");
    let line = refused(&["tag", "--model", &tag, "--overlap", "38"]);
    assert!(line.contains("--overlap: found 38; expected less than 38, the tokens of text"), "{line}");
    let line = refused(&["tag", "--model", &tag, "--overlap", "x"]);
    assert!(line.contains("expected a whole number"), "{line}");
    // With questions of their own every line has a bound of its own.
    let record = |question: &str| json!({"question": question, "context": "the cat ".repeat(30)}).to_string();
    let input = [record("who"), record(&"who ".repeat(20)), record("who")].join("\n");
    let found = rows("answer", "bert-answer", &["--jsonl", "--overlap", "30"], &input);
    assert_eq!(found.len(), 3);
    let error = found[1]["error"].as_str().unwrap();
    assert!(
        error.starts_with("--overlap: found 30; expected less than ") && error.ends_with("beside the question"),
        "{error}"
    );
    assert!(found[0]["answers"].is_array() && found[2]["answers"].is_array());
}
