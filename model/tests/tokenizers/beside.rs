//! Settings beside a `tokenizer.json`. Expected ids are those of the fast tokenizers of transformers.

use lacuna_model::SentenceTokenizer;
use serde_json::{Value, json};

use crate::{folder, ids, open, open_dir, refused, words};

const CONFIG: &str = "tokenizer_config.json";

/// `[CLS] text [SEP]` over a small vocabulary, with its special tokens as added tokens.
fn definition() -> Value {
    let mut json = words(&["[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "cats", "<blank>"]);
    let token = |id: u32, content: &str| {
        json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true })
    };
    json["added_tokens"] = json!([token(0, "[UNK]"), token(1, "[CLS]"), token(2, "[SEP]"), token(3, "[MASK]")]);
    json["post_processor"] = json!({ "type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1] });
    json
}

/// The tokenizer with further files.
fn with(files: &[(&str, Value)]) -> SentenceTokenizer {
    let dir = folder(&[("tokenizer.json", &definition().to_string())]);
    for (name, json) in files {
        std::fs::write(dir.path().join(name), json.to_string()).unwrap();
    }
    open_dir(dir.path()).unwrap()
}

fn stored(tokenizer: &SentenceTokenizer) -> SentenceTokenizer {
    let json = tokenizer.json().to_vec();
    SentenceTokenizer::from_json("stored".as_ref(), json.into(), tokenizer.max_length()).unwrap()
}

#[test]
fn files_that_agree_change_nothing_and_say_nothing() {
    let bytes = definition().to_string();
    let token = |content: &str| json!({ "content": content, "lstrip": false, "special": true });
    let decoder = json!({ "1": token("[CLS]"), "2": token("[SEP]"), "3": token("[MASK]") });
    let usual = json!({
        "cls_token": "[CLS]", "sep_token": token("[SEP]"), "mask_token": "[MASK]", "unk_token": "[UNK]", "pad_token": null,
        "do_basic_tokenize": true, "never_split": null, "tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": true,
        "additional_special_tokens": [], "extra_special_tokens": {}, "split_special_tokens": false, "add_prefix_space": false,
        "clean_up_tokenization_spaces": true, "added_tokens_decoder": decoder,
    });
    let mut without = usual.clone();
    without.as_object_mut().unwrap().remove("added_tokens_decoder");
    let map = json!({ "cls_token": "[CLS]", "sep_token": token("[SEP]"), "mask_token": token("[MASK]") });
    for files in [
        vec![(CONFIG, usual)],
        vec![(CONFIG, without), ("special_tokens_map.json", map), ("added_tokens.json", json!({ "[MASK]": 3 }))],
    ] {
        let found = with(&files);
        assert_eq!(found.notes(), [""; 0]);
        assert_eq!(found.json(), bytes.as_bytes());
        assert_eq!(ids(&found, "a cats dog"), [1, 4, 6, 0, 2]);
    }
}

#[test]
fn tokens_of_other_files_are_added() {
    let decoder =
        |id: &str, content: &str| json!({ "added_tokens_decoder": { id: { "content": content, "special": false } } });
    for (file, json, expected) in [
        (CONFIG, decoder("5", "cat"), "added_tokens_decoder"),
        (CONFIG, json!({ "additional_special_tokens": ["cat"] }), "additional_special_tokens"),
        (CONFIG, json!({ "extra_special_tokens": { "animal": "cat" } }), "extra_special_tokens"),
        (CONFIG, json!({ "pad_token": "cat" }), "pad_token"),
        ("special_tokens_map.json", json!({ "pad_token": "cat" }), "pad_token"),
        ("added_tokens.json", json!({ "cat": 5 }), "added_tokens.json"),
    ] {
        let found = with(&[(file, json)]);
        // An added token stands for itself inside of a word too: cats becomes cat and s.
        for found in [&found, &stored(&found)] {
            assert_eq!(ids(found, "a cats"), [1, 4, 5, 0, 2], "{expected}");
        }
        let notes = found.notes().join("\n");
        assert!(notes.contains(&format!("\"cat\" ({expected})")), "{notes}");
    }
    let new = with(&[(CONFIG, decoder("8", "[NEW]"))]);
    assert_eq!(ids(&new, "a[NEW]"), [1, 4, 8, 2]);
    let other = with(&[(CONFIG, decoder("9", "[MASK]"))]);
    assert!(other.notes()[0].contains("\"[MASK]\" is 3 in tokenizer.json, not 9"), "{:?}", other.notes());
}

/// The tokens around a text stay those of `tokenizer.json`.
#[test]
fn names_that_change_nothing_are_said() {
    for (settings, expected) in [
        (json!({ "cls_token": "[MASK]" }), "cls_token: \"[MASK]\" is not put around texts"),
        (json!({ "unk_token": "[MASK]" }), "unk_token: \"[MASK]\" changes nothing"),
        (json!({ "do_basic_tokenize": false }), "do_basic_tokenize: false changes nothing"),
        (json!({ "never_split": ["cat"] }), "never_split changes nothing"),
    ] {
        let found = with(&[(CONFIG, settings)]);
        assert!(found.notes().iter().any(|note| note.contains(expected)), "{expected}: {:?}", found.notes());
        assert_eq!(ids(&found, "a cats dog"), [1, 4, 6, 0, 2]);
    }
    let mut pieces = definition();
    pieces["model"]["type"] = json!("WordPiece");
    pieces["model"]["continuing_subword_prefix"] = json!("##");
    pieces["model"]["max_input_chars_per_word"] = json!(100);
    let class = json!({ "tokenizer_class": "T5Tokenizer" }).to_string();
    let found = open(&[("tokenizer.json", &pieces.to_string()), (CONFIG, &class)]).unwrap();
    assert!(found.notes()[0].contains("T5Tokenizer is a Unigram tokenizer"), "{:?}", found.notes());
}

#[test]
fn what_would_change_ids_and_is_not_followed_is_refused() {
    let definition = definition().to_string();
    for (file, text, expected) in [
        (CONFIG, r#"{"split_special_tokens": true}"#, "split_special_tokens"),
        (CONFIG, r#"{"add_special_tokens": false}"#, "add_special_tokens"),
        (CONFIG, r#"{"additional_special_tokens": "cat"}"#, "additional_special_tokens"),
        (CONFIG, r#"{"added_tokens_decoder": {"x": "cat"}}"#, "added_tokens_decoder"),
        (CONFIG, r#"{"do_basic_tokenize": "no"}"#, "do_basic_tokenize"),
        ("special_tokens_map.json", "{", "special_tokens_map.json"),
        ("added_tokens.json", "zzz", "added_tokens.json"),
    ] {
        let error = refused(&[("tokenizer.json", &definition), (file, text)]);
        assert!(error.contains(expected) && error.contains(file), "{error}");
    }
}

#[test]
fn blanks_before_byte_level_words_follow_the_settings() {
    let mut json = words(&["?", "a", "\u{120}a"]);
    json["pre_tokenizer"] =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    let of = |settings: &str| open(&[("tokenizer.json", &json.to_string()), (CONFIG, settings)]).unwrap();
    assert_eq!(ids(&of("{}"), "a a"), [1, 2]);
    assert_eq!(ids(&of(r#"{"add_prefix_space": false}"#), "a a"), [1, 2]);
    let spaced = of(r#"{"add_prefix_space": true}"#);
    assert_eq!(ids(&spaced, "a a"), [2, 2]);
    assert_eq!(ids(&stored(&spaced), "a a"), [2, 2]);
}

#[test]
fn the_mask_is_the_one_that_the_settings_name() {
    let mask = |tokenizer: &SentenceTokenizer| tokenizer.mask_token("[MASK]").map(|mask| (mask.id, mask.text));
    assert_eq!(mask(&with(&[])), Some((3, "[MASK]".into())));
    assert_eq!(mask(&with(&[(CONFIG, json!({ "mask_token": "[MASK]" }))])), Some((3, "[MASK]".into())));
    let named = with(&[(CONFIG, json!({ "mask_token": "<blank>" }))]);
    for named in [&named, &stored(&named)] {
        assert_eq!(mask(named), Some((7, "<blank>".into())));
        assert_eq!(ids(named, "a <blank>"), [1, 4, 7, 2]);
    }
    // One that is not a token is left alone.
    assert_eq!(mask(&with(&[(CONFIG, json!({ "mask_token": "<other>" }))])), Some((3, "[MASK]".into())));
    let vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n<blank>\n";
    let made = open(&[("vocab.txt", vocabulary), (CONFIG, r#"{"mask_token": "<blank>", "do_lower_case": true}"#)]);
    assert_eq!(mask(&made.unwrap()), Some((5, "<blank>".into())));
}
