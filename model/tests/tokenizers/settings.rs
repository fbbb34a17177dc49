//! Settings of other files, and a model that has fewer embeddings than the tokenizer has tokens.

use lacuna_model::{BertNormalization, Error, SentenceTokenizer, TextInput, TokenizerOptions, TruncationSide};
use serde_json::json;

use crate::{folder, ids, open, words};

fn tokenizer(options: &TokenizerOptions) -> SentenceTokenizer {
    let mut json = words(&["?", "<s>", "a", "b", "c"]);
    json["post_processor"] = json!({
        "type": "BertProcessing", "sep": ["<s>", 1], "cls": ["<s>", 1],
    });
    let dir = folder(&[("tokenizer.json", &json.to_string())]);
    SentenceTokenizer::open(dir.path(), options).unwrap().unwrap()
}

/// The same tokenizer after it was stored, as in a packed file.
fn stored(tokenizer: &SentenceTokenizer) -> SentenceTokenizer {
    let json = tokenizer.json().to_vec();
    SentenceTokenizer::from_json("stored".as_ref(), json.into(), tokenizer.max_length()).unwrap()
}

#[test]
fn either_end_of_a_long_text_is_cut() {
    let mut options = TokenizerOptions::new(4);
    let right = tokenizer(&options);
    options.truncation_side = Some(TruncationSide::Left);
    let left = tokenizer(&options);
    for left in [&left, &stored(&left)] {
        assert_eq!(left.truncation_side(), TruncationSide::Left);
        assert_eq!(ids(left, "a b c"), [1, 3, 4, 1]);
        assert_eq!(left.encode("a b c").unwrap().truncated_from, Some(5));
        assert_eq!(ids(left, "a b"), [1, 2, 3, 1]);
        assert_eq!(left.locate(TextInput::new("a b c")).unwrap().cut(4).ids, [1, 3, 4, 1]);
    }
    assert_eq!(ids(&right, "a b c"), [1, 2, 3, 1]);
    assert_eq!(right.locate(TextInput::new("a b c")).unwrap().cut(4).ids, [1, 2, 3, 1]);
    // Nothing is changed where nothing is said.
    assert_eq!(ids(&stored(&right), "a b c"), [1, 2, 3, 1]);
}

#[test]
fn texts_may_become_lower_case_first() {
    let mut options = TokenizerOptions::new(8);
    assert_eq!(ids(&tokenizer(&options), "A b"), [1, 0, 3, 1]);
    options.lower_case = true;
    let lower = tokenizer(&options);
    assert_eq!(ids(&lower, "A b"), [1, 2, 3, 1]);
    assert_eq!(ids(&stored(&lower), "A B C"), [1, 2, 3, 4, 1]);
}

#[test]
fn settings_of_berts_normalizer_are_replaced() {
    let mut json = words(&["?", "a", "A", "á"]);
    json["normalizer"] = json!({ "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
        "strip_accents": null, "lowercase": true });
    let dir = folder(&[("tokenizer.json", &json.to_string())]);
    let of = |bert| {
        let mut options = TokenizerOptions::new(8);
        options.bert = bert;
        ids(&SentenceTokenizer::open(dir.path(), &options).unwrap().unwrap(), "A a á")
    };
    assert_eq!(of(BertNormalization::default()), [1, 1, 1]);
    assert_eq!(of(BertNormalization { lower_case: Some(false), ..BertNormalization::default() }), [2, 1, 3]);
    let accents = BertNormalization { strip_accents: Some(Some(false)), ..BertNormalization::default() };
    assert_eq!(of(accents), [1, 1, 3]);
}

#[test]
fn only_texts_with_a_token_outside_the_table_fail() {
    let mut json = words(&["?", "a", "b"]);
    let token = |id: u32, content: &str| {
        json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true })
    };
    json["added_tokens"] = json!([token(3, "[E1]"), token(4, "[E2]")]);
    let whole = open(&[("tokenizer.json", &json.to_string())]).unwrap();
    assert_eq!(ids(&whole, "a [E1]"), [1, 3], "no model, no limit");
    assert!(whole.clone().for_vocabulary(5).notes().is_empty());
    let small = whole.for_vocabulary(4);
    let note = small.notes().join("\n");
    assert!(note.contains("1 of its 5 tokens") && note.contains("\"[E2]\" is 4"), "{note}");
    assert_eq!(ids(&small, "a [E1]"), [1, 3]);
    let error = small.encode_batch(&["a", "b [E2]", "[E2]"]).unwrap_err();
    let Error::Text { text: 1, source } = &error else { panic!("{error}") };
    assert!(
        matches!(&**source, Error::TokenOutsideTable { token, id: 4, vocab_size: 4 } if token == "[E2]"),
        "{error}"
    );
    assert!(small.locate(TextInput::pair("a", "[E2]")).is_err());
    // What is cut does not matter.
    let cut = "a ".repeat(64) + "[E2]";
    assert_eq!(small.encode(&cut).unwrap().truncated_from, Some(65));
}
