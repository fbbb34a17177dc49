//! Damaged and contradictory files: an error, and never a panic.

use lacuna_model::{Error, TextInput};
use serde_json::{Value, json};

use crate::{ids, open, refused, words};

/// A template for the texts and one special token.
fn template(single: &[&str], pair: &[&str]) -> Value {
    let piece = |name: &&str| match *name {
        "A" | "B" => json!({ "Sequence": { "id": name, "type_id": 0 } }),
        name => json!({ "SpecialToken": { "id": name, "type_id": 0 } }),
    };
    let pieces = |names: &[&str]| names.iter().map(piece).collect::<Vec<_>>();
    json!({
        "type": "TemplateProcessing", "single": pieces(single), "pair": pieces(pair),
        "special_tokens": { "<s>": { "id": "<s>", "ids": [1], "tokens": ["<s>"] } },
    })
}

fn with(change: impl FnOnce(&mut Value)) -> String {
    let mut json = words(&["?", "<s>", "a", "b"]);
    change(&mut json);
    json.to_string()
}

/// The error of a damaged file names it.
fn refused_json(json: &str) -> String {
    let error = refused(&[("tokenizer.json", json)]);
    assert!(error.contains("tokenizer.json"), "{error}");
    error
}

#[test]
fn files_cut_at_every_byte() {
    let whole = with(|json| json["post_processor"] = template(&["<s>", "A"], &["<s>", "A", "B"]));
    assert_eq!(ids(&open(&[("tokenizer.json", &whole)]).unwrap(), "a c"), [1, 2, 0]);
    for end in 0..whole.len() {
        refused_json(&whole[..end]);
    }
}

/// The library takes each of these for granted, at load or later.
#[test]
fn parts_of_the_wrong_kind() {
    for (key, value) in [
        ("normalizer", json!({ "type": "Precompiled", "precompiled_charsmap": "AAAA" })),
        ("normalizer", json!({ "type": "Precompiled", "precompiled_charsmap": 3 })),
        ("normalizer", json!({ "type": "Sequence", "normalizers": [{ "type": "Nothing" }] })),
        ("normalizer", json!({ "type": "Replace", "pattern": { "Regex": "(" }, "content": "" })),
        ("pre_tokenizer", json!({ "type": "Split", "pattern": { "Regex": "a{" }, "behavior": "Isolated" })),
        ("pre_tokenizer", json!({ "type": "Split", "pattern": { "Regex": "a" }, "behavior": "?", "invert": false })),
        ("pre_tokenizer", json!("BertPreTokenizer")),
        ("post_processor", json!({ "type": "TemplateProcessing" })),
        ("post_processor", template(&["</s>", "A"], &["A", "B"])),
        ("post_processor", template(&["A", "B"], &["A", "B"])),
        ("post_processor", template(&["A"], &["A"])),
        // The second template is given three parts.
        (
            "post_processor",
            json!({ "type": "Sequence", "processors": [template(&["<s>", "A", "<s>"], &["A", "B"]), template(&["A"], &["A", "B"])] }),
        ),
        ("model", json!({ "type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 7 })),
        ("model", json!({ "type": "BPE", "vocab": { "a": 0 }, "merges": [["a", "b"]] })),
        ("model", json!({ "type": "WordPiece", "vocab": { "a": 0 } })),
        ("model", json!({ "type": "WordLevel", "vocab": { "a": -1 }, "unk_token": "a" })),
        ("model", json!(null)),
        ("added_tokens", json!([{ "content": "x" }])),
        ("version", json!("9.9")),
    ] {
        refused_json(&with(|json| json[key] = value.clone()));
    }
    for text in ["", "null", "[]", "3", "\"a\"", "{}", &"[".repeat(100_000)] {
        refused_json(text);
    }
}

/// Some contradictions show only in a pair. The library panics; here it is an error of that text.
#[test]
fn a_panic_at_a_text_is_an_error_of_the_text() {
    let first = template(&["A"], &["<s>", "A", "B"]);
    let json = with(|json| {
        json["post_processor"] = json!({ "type": "Sequence", "processors": [first, template(&["A"], &["A", "B"])] });
    });
    let tokenizer = open(&[("tokenizer.json", &json)]).unwrap();
    assert_eq!(ids(&tokenizer, "a b"), [2, 3]);
    let error = tokenizer.locate(TextInput::pair("a", "b")).unwrap_err();
    assert!(matches!(error, Error::TokenizerText { .. }), "{error}");
    assert_eq!(error.to_string().lines().count(), 1);
    // It works on afterwards.
    assert_eq!(ids(&tokenizer, "b"), [3]);
}

/// The library ends its search silently where a pattern is too expensive, and splits no further.
#[test]
fn expensive_patterns_are_an_error_of_the_text() {
    let json = with(|json| {
        let pattern = json!({ "Regex": r"(?:a|a)+(?!a)b|c(?<=c)" });
        json["pre_tokenizer"] = json!({ "type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": false });
    });
    let tokenizer = open(&[("tokenizer.json", &json)]).unwrap();
    assert_eq!(ids(&tokenizer, "a"), [2]);
    let texts = ["b".to_owned(), "a".repeat(64), "a".into()];
    let error = tokenizer.encode_batch(&texts).unwrap_err();
    assert!(
        matches!(&error, Error::Text { text: 1, source } if matches!(**source, Error::TokenizerText { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("too expensive"), "{error}");
}

/// A mask takes the blanks before it; the library looks for them from the start of the text, for each mask.
#[test]
fn very_many_masks_or_blanks_are_an_error_of_the_text() {
    let json = with(|json| {
        json["added_tokens"] = json!([{ "id": 1, "content": "<s>", "single_word": false, "lstrip": true, "rstrip": false,
            "normalized": false, "special": true }]);
    });
    let tokenizer = open(&[("tokenizer.json", &json)]).unwrap();
    assert_eq!(ids(&tokenizer, "a <s> <s>"), [2, 1, 1]);
    for costly in ["<s> ".repeat(200_000), format!("a{}b", " ".repeat(600_000))] {
        let error = tokenizer.encode(&costly).unwrap_err();
        assert!(matches!(error, Error::TokenizerText { .. }), "{error}");
    }
}

#[test]
fn dropout_is_switched_off() {
    let mut json = words(&["?", "a", "b", "ab"]);
    json["model"] = json!({
        "type": "BPE", "vocab": { "a": 1, "b": 2, "ab": 3 }, "merges": [["a", "b"]], "dropout": 0.5,
        "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
    });
    let tokenizer = open(&[("tokenizer.json", &json.to_string())]).unwrap();
    assert!(tokenizer.notes().iter().any(|note| note.contains("dropout 0.5")), "{:?}", tokenizer.notes());
    for _ in 0..50 {
        assert_eq!(ids(&tokenizer, "ab ab"), [3, 3]);
    }
    // The stored file is without it, too.
    let stored = open(&[("tokenizer.json", std::str::from_utf8(tokenizer.json()).unwrap())]).unwrap();
    assert!(stored.notes().is_empty());
    json["model"]["dropout"] = Value::Null;
    assert!(open(&[("tokenizer.json", &json.to_string())]).unwrap().notes().is_empty());
}
