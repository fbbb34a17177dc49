//! `lacuna inspect` and `lacuna evaluate`.

use std::fs;

use lacuna_jit::Tier;
use serde_json::{Value, json};

use crate::checkpoint::{LIMIT, ModelDir};
use crate::{refusal, refuses, run, run_with, stdout};

/// Whether this machine runs AVX2 without VNNI: matrices without zeros are then faster in pairs, as 4x1 blocks, than dense.
fn is_avx2() -> bool {
    Tier::select(None).unwrap() == Tier::Avx2
}

#[test]
fn inspect_lists_tensors_zeros_and_kernels() {
    let model = ModelDir::new();
    // On so few features dense is predicted to be faster.
    let inspect = ["inspect", "--model", model.path(), "--sparsity", "0.75", "--form", "sparse"];
    let text = stdout(run(&inspect));
    assert!(text.contains("BERT, 2 layers, 16 features, 2 heads, 32 between, gelu\n"), "{text}");
    assert!(text.contains("8 tokens, 12 positions, 2 token types"), "{text}");
    assert!(text.contains("sentences of up to 12 tokens"), "{text}");
    assert!(text.contains("embeddings.position_embeddings.weight"), "{text}");
    assert!(text.contains("pooling       mean (assumed: no 1_Pooling)"), "{text}");

    let json: Value = serde_json::from_str(&stdout(run(&[&inspect[..], &["--json"]].concat()))).unwrap();
    assert_eq!(json["tokenizer_limit"], LIMIT);
    assert_eq!(json["weights"], serde_json::json!(["model.safetensors"]));
    assert_eq!(json["tensors"].as_array().unwrap().len(), 5 + 2 * 16);
    let linears = json["linears"].as_array().unwrap();
    assert_eq!(linears.len(), 12);
    for linear in linears {
        assert_eq!(linear["zeros_4x1"], 0.75, "{linear}");
        assert!(linear["zeros_4x4"].as_f64().unwrap() < 0.75, "{linear}");
        assert_eq!((&linear["form"], &linear["precision"]), (&"sparse 4x1".into(), &"static".into()));
        assert!(linear["kernel"].as_str().unwrap().starts_with("spmm-"), "{linear}");
    }
    let dense: Value = serde_json::from_str(&stdout(run(&["inspect", "--model", model.path(), "--json"]))).unwrap();
    let is_dense = |form: &Value| form == "dense" || is_avx2() && form == "sparse 4x1";
    assert!(dense["linears"].as_array().unwrap().iter().all(|linear| is_dense(&linear["form"])), "{dense}");
}

#[test]
fn inspect_shows_the_head_or_why_there_is_none() {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden");
    let inspect = |folder: &str| -> (String, Value) {
        let folder = format!("{fixtures}/{folder}");
        let text = stdout(run(&["inspect", "--model", &folder]));
        let line = text.lines().find(|line| line.starts_with("head ")).unwrap().to_owned();
        (line, serde_json::from_str(&stdout(run(&["inspect", "--model", &folder, "--json"]))).unwrap())
    };
    let (line, json) = inspect("heads/bert-classify");
    assert!(
        line.contains("sequence classification (BertForSequenceClassification), 1155 parameters; 3 labels: "),
        "{line}"
    );
    assert!(line.ends_with("; single_label_classification (assumed: no problem_type)"), "{line}");
    assert_eq!(json["head"]["labels"].as_array().unwrap().len(), 3);
    let hidden = json["architecture"]["hidden_size"].as_u64().unwrap();
    assert_eq!(json["head"]["parameters"], hidden * hidden + hidden + 3 * hidden + 3);
    assert_eq!((&json["head"]["score_function"], &json["no_head"]), (&Value::Null, &Value::Null));
    let (line, json) = inspect("heads/bert-rank");
    assert!(line.ends_with("; rank: sigmoid"), "{line}");
    assert_eq!(json["head"]["score_function"], "sigmoid");
    for (folder, kind) in [
        ("heads/bert-tag", "token classification"),
        ("heads/bert-answer", "question answering"),
        ("heads/bert-fill", "masked language model"),
    ] {
        assert_eq!(inspect(folder).1["head"]["kind"], kind);
    }
    let (line, json) = inspect("bert");
    assert!(line.ends_with(" none; architectures BertModel"), "{line}");
    assert_eq!((&json["head"], &json["no_head"]), (&Value::Null, &json!("none; architectures BertModel")));
    // A head that is promised and not there does not keep the encoder from being shown.
    let model = ModelDir::with_config("architectures", json!(["BertForTokenClassification"]));
    let text = stdout(run(&["inspect", "--model", model.path()]));
    assert!(text.contains("cannot be read: ") && text.contains("classifier"), "{text}");
}

/// The whole way, from files of another implementation's making to a ranking.
#[test]
fn every_architecture_goes_through_every_command() {
    for (folder, name, between) in [
        ("bert", "BERT", 64),
        ("bert-old", "BERT", 60),
        ("distilbert", "DistilBERT", 64),
        ("distilbert-relu", "DistilBERT", 48),
        ("roberta", "RoBERTa", 64),
        ("xlm-roberta", "XLM-RoBERTa", 48),
        ("camembert", "CamemBERT", 48),
        ("electra", "ELECTRA", 64),
        ("electra-relu", "ELECTRA", 48),
    ] {
        let model = ModelDir::golden(folder);
        let text = stdout(run(&["inspect", "--model", model.path()]));
        assert!(text.contains(&format!("\narchitecture  {name}, 2 layers, ")), "{folder}: {text}");
        assert!(text.contains(&format!(" {between} between, ")), "{folder}: {text}");
        let forms = if is_avx2() { ["dense, gemm-", "sparse 4x1, spmm-"] } else { ["dense, gemm-"; 2] };
        let projects = |form| text.contains(&format!("embeddings of 20 features to 52, {form}"));
        assert_eq!(forms.into_iter().any(projects), folder == "electra", "{text}");
        let json: Value = serde_json::from_str(&stdout(run(&["inspect", "--model", model.path(), "--json"]))).unwrap();
        let architecture = &json["architecture"];
        assert_eq!((&architecture["name"], &architecture["intermediate_size"]), (&json!(name), &json!(between)));
        assert_eq!(json["projection"]["name"] == "projection", folder == "electra", "{json}");

        let embed = ["embed", "--model", model.path(), "--verify", "--report"];
        let output = run_with(&embed, b"A cat sits.\na dog\n\ncat dog cat dog sits\n");
        let said = String::from_utf8(output.stderr.clone()).unwrap();
        assert!(said.contains(&format!("\nmodel        {name}, 2 layers, ")), "{folder}: {said}");
        assert_eq!(said.contains("\n  projection "), folder == "electra", "{said}");
        let text = stdout(output);
        assert_eq!(text.lines().count(), 4, "{folder}");
        let portable = ["embed", "--model", model.path(), "--tier", "portable"];
        assert_eq!(stdout(run_with(&portable, b"A cat sits.\na dog\n\ncat dog cat dog sits\n")), text, "{folder}");

        let dir = tempfile::tempdir().unwrap();
        let pairs = dir.path().join("pairs.csv");
        fs::write(&pairs, "a cat,a cat,5\n\"a dog, sits\",cat,1.5\nsits,a,2\ndog dog,cat a,3\n").unwrap();
        let args = ["evaluate", "--model", model.path(), "--pairs", pairs.to_str().unwrap(), "--json"];
        let json: Value = serde_json::from_str(&stdout(run(&args))).unwrap();
        assert!(json["cosine_min"].as_f64().unwrap() > 0.99, "{folder}: {json}");
    }
}

#[test]
fn other_architectures_are_refused_with_a_list_of_those_that_run() {
    let model = ModelDir::with_config("model_type", "mpnet".into());
    let line = refusal(run(&["inspect", "--model", model.path()]));
    assert!(line.contains("mpnet") && line.contains("distilbert") && line.contains("xlm-roberta"), "{line}");
}

#[test]
fn inspect_names_the_weight_files() {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures");
    for (folder, weights) in [
        ("bert-bin", "pytorch_model.bin"),
        (
            "bert-safetensors-sharded",
            "model.safetensors.index.json, model-00001-of-00002.safetensors, model-00002-of-00002.safetensors",
        ),
    ] {
        let text = stdout(run(&["inspect", "--model", &format!("{fixtures}/{folder}")]));
        assert!(text.contains(&format!("weights       {weights}\n")), "{text}");
    }
}

#[test]
fn inspect_needs_no_tokenizer() {
    let model = ModelDir::new();
    model.remove("tokenizer.json");
    let text = stdout(run(&["inspect", "--model", model.path()]));
    assert!(text.contains("tokenizer     none"), "{text}");
}

#[test]
fn evaluate_compares_rankings() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let pairs = dir.path().join("pairs.csv");
    fs::write(&pairs, "a cat,a cat,5\n\"a dog, sits\",cat,1.5\nsits,a,2\ndog dog,cat a,3\n").unwrap();
    let args = ["evaluate", "--model", model.path(), "--pairs", pairs.to_str().unwrap()];
    let json: Value = serde_json::from_str(&stdout(run(&[&args[..], &["--json"]].concat()))).unwrap();
    assert_eq!(json["pairs"], 4);
    assert_eq!(json["calibration"]["source"], "built-in");
    assert!(json["spearman_f32"].as_f64().unwrap() > -1.0);
    for name in ["pearson_f32", "pearson_int8"] {
        assert!((-1.0..=1.0).contains(&json[name].as_f64().unwrap()), "{json}");
    }
    for name in ["milliseconds_per_sentence_f32", "milliseconds_per_sentence_int8"] {
        assert!(json[name].as_f64().unwrap() > 0.0, "{json}");
    }
    assert!(json["cosine_mean"].as_f64().unwrap() > 0.95);
    assert!(json["cosine_min"].as_f64().unwrap() <= json["cosine_mean"].as_f64().unwrap());
    assert_eq!(json["spearman_f32_pruned"], Value::Null);
    let texts = dir.path().join("texts.txt");
    fs::write(&texts, "a cat sits\n\n\na dog\n\ncat\ndog\n").unwrap();
    let pruned = ["--sparsity", "0.5", "--sentences", "2", "--calibrate", texts.to_str().unwrap()];
    let output = run(&[&args[..], &pruned].concat());
    assert!(String::from_utf8_lossy(&output.stderr).contains("pruned by magnitude at load: accuracy is not kept"));
    let text = stdout(output);
    // Of the empty lines one is kept.
    assert!(
        text.contains("f32, pruned, 50.0 % zero blocks") && text.contains("calibrated on 2 of 5 texts of "),
        "{text}"
    );
}

#[test]
fn bad_pairs_are_named_by_line() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let pairs = dir.path().join("pairs.csv");
    let path = pairs.to_str().unwrap();
    for (text, expected) in [
        (&b""[..], "0 pairs"),
        (b"a,b,1\n", "1 pair in"),
        (b"sentence1,sentence2,score\na,b,1\n", "line 1: found score \"score\"; expected a number; a heading"),
        (b"a,b,1\nb,c,1\n", "the score 1 for all 2 pairs"),
        (b"a,b,1\na,b\n", "line 2: found 2 fields"),
        (b"a,b\n", "line 1: found 2 fields"),
        (b"a,b,1\na,b,high\n", "line 2: found score \"high\""),
        (b"a,b,1\na,b,NaN\n", "line 2: found score \"NaN\""),
        (b"a,b,1\na\xff,b,1\n", "line 2: found invalid UTF-8 in field 1"),
    ] {
        fs::write(&pairs, text).unwrap();
        let line = refusal(run(&["evaluate", "--model", model.path(), "--pairs", path]));
        assert!(line.contains(expected), "{expected}: {line}");
    }
    let line = refusal(run(&["evaluate", "--model", model.path(), "--pairs", "/does/not/exist.csv"]));
    assert!(line.contains("/does/not/exist.csv: cannot open"), "{line}");
}

/// Made-up texts of `inspect` are nothing that a user calibrates on.
#[test]
fn inspect_says_nothing_of_its_own_calibration() {
    let model = ModelDir::new();
    let text = stdout(run(&["inspect", "--model", model.path()]));
    assert!(!text.contains("calibrated on") && text.contains("2 layers, 16 features, 2 heads"), "{text}");
    let graph = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/onnx/bert-sparse");
    let text = stdout(run(&["inspect", "--model", graph]));
    assert!(text.contains("attention is quantised in 1 layer of the file") && text.contains("1 layer, "), "{text}");
    assert!(!text.contains("calibrated elsewhere"), "{text}");
}

#[test]
fn files_that_no_model_has_are_named() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let texts = dir.path().join("two.txt");
    fs::write(&texts, "a\nb\n").unwrap();
    let other = "two.txt: found a file that is neither a folder, a packed file nor a weight file";
    refuses(&["inspect", "--model", texts.to_str().unwrap()], other);
    let missing = ["inspect", "--model", model.path(), "--weights", "nothere.bin"];
    refuses(&missing, "nothere.bin, which is not found");
}

#[test]
fn evaluate_and_calibrate_say_what_they_assume() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let prompts = serde_json::json!({"prompts": {"query": "a dog "}, "default_prompt_name": "query"});
    model.write("config_sentence_transformers.json", &prompts.to_string());
    let pairs = dir.path().join("pairs.csv");
    fs::write(&pairs, "a cat,a cat,5\na dog,cat,1.5\nsits,a,2\n").unwrap();
    let pairs = pairs.to_str().unwrap();
    for args in [["evaluate", "--pairs", pairs], ["calibrate", "--calibrate", pairs]] {
        let output = run(&[&args[..], &["--model", model.path()]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        stdout(output);
        assert!(said.contains("pooling: mean (assumed: no 1_Pooling)"), "{said}");
        assert!(said.contains("prompt: \"a dog \" is put before every text"), "{said}");
    }
    let args = ["evaluate", "--pairs", pairs, "--model", model.path(), "--json"];
    let json: Value = serde_json::from_str(&stdout(run(&args))).unwrap();
    assert_eq!(json["remarks"].as_array().unwrap().len(), 2);
}
