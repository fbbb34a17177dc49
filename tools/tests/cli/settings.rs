//! What the commands say about the settings of a model.

use serde_json::{Value, json};

use crate::checkpoint::ModelDir;
use crate::{refusal, run, run_with, stdout};

/// Standard error of a command that succeeds.
fn said(args: &[&str], input: &str) -> String {
    let output = run_with(args, input.as_bytes());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    stdout(output);
    said
}

#[test]
fn what_is_assumed_is_said_once_and_listed() {
    let model = ModelDir::new();
    let embed = said(&["embed", "--model", model.path()], "a cat\na dog\n");
    assert_eq!(embed.matches("pooling: mean (assumed: no 1_Pooling)\n").count(), 1, "{embed}");
    let inspect = stdout(run(&["inspect", "--model", model.path()]));
    assert!(inspect.contains("pooling: mean (assumed: no 1_Pooling)"), "{inspect}");
    assert!(inspect.contains("pooling       mean (assumed: no 1_Pooling)"), "{inspect}");
    let chosen = said(&["embed", "--model", model.path(), "--pooling", "cls"], "a cat\n");
    assert!(!chosen.contains("assumed: no 1_Pooling"), "{chosen}");
    model.write("1_Pooling/config.json", &json!({"pooling_mode": ["cls", "weightedmean"]}).to_string());
    let read = said(&["embed", "--model", model.path()], "a cat\n");
    assert!(!read.contains("pooling"), "{read}");
    let json: Value = serde_json::from_str(&stdout(run(&["inspect", "--model", model.path(), "--json"]))).unwrap();
    assert_eq!((&json["pooling"]["mode"], &json["pooling"]["features"]), (&json!("cls + weightedmean"), &json!(32)));
    assert_eq!(json["remarks"], json!([]));
}

#[test]
fn the_default_prompt_is_applied_and_said() {
    let model = ModelDir::new();
    let embed = |text: &str| stdout(run_with(&["embed", "--model", model.path()], text.as_bytes()));
    let vector = |line: String| serde_json::from_str::<Value>(&line).unwrap()["embedding"].clone();
    let bare = vector(embed("a dog cat sits"));
    let prompts = json!({"prompts": {"query": "a dog "}, "default_prompt_name": "query"});
    model.write("config_sentence_transformers.json", &prompts.to_string());
    let remark = said(&["embed", "--model", model.path()], "cat sits\n");
    assert!(remark.contains("prompt: \"a dog \" is put before every text"), "{remark}");
    assert_eq!(vector(embed("cat sits")), bare);
    // Another prompt in its place is named instead.
    for (more, expected) in [
        (["--prompt", ""], "prompt: none; the default one, \"a dog \", is left out\n"),
        (["--prompt", "a "], "prompt: \"a \" is put before every text (--prompt)\n"),
        (["--prompt-name", "query"], "prompt: \"a dog \" is put before every text (--prompt-name query)\n"),
    ] {
        let remark = said(&[&["embed", "--model", model.path()], &more[..]].concat(), "cat sits\n");
        assert!(remark.contains(expected) && remark.matches("prompt: ").count() == 1, "{remark}");
    }
    let inspect = stdout(run(&["inspect", "--model", model.path()]));
    assert!(inspect.contains("query \"a dog \" (default)"), "{inspect}");
    model.write("config_sentence_transformers.json", &json!({"default_prompt_name": "query"}).to_string());
    let line = refusal(run_with(&["embed", "--model", model.path()], b"cat"));
    assert!(line.contains("invalid default_prompt_name: found \"query\""), "{line}");
}

#[test]
fn lengths_of_the_tokenizer_count() {
    let model = ModelDir::new();
    model.write("tokenizer_config.json", &json!({"model_max_length": 5, "mask_token": "<mask>"}).to_string());
    let said = said(&["embed", "--model", model.path()], "cat cat cat cat cat cat\n");
    assert!(said.contains("truncated: the model takes 5"), "{said}");
    assert!(said.contains("mask_token: \"<mask>\" of tokenizer_config.json is not a token"), "{said}");
}
