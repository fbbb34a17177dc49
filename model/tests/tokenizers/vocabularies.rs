//! Folders without a tokenizer.json. The expected ids are those of the tokenizers library for Python, which was given the same
//! vocabularies and settings.

use lacuna_model::TextInput;

use crate::{folder, ids, open, open_dir, refused};

const WORDS: &str =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\ncafe\ncafé\nCat\nsat\n##s\nun\n##able\n,\n.\n北\n京\n##t\nh\ne\n";
const BERT: &str = r#"{"model_type": "bert"}"#;
const TEXTS: [&str; 7] =
    ["The cats, unable.", "CAFÉ Café cafe", "北京 the北", "the [MASK] cat", "[mask] x", "", "het\tthe\u{a0}cat"];

/// The ids of [`TEXTS`] with a `tokenizer_config.json`.
fn wordpiece(config: &str) -> Vec<Vec<u32>> {
    let tokenizer = open(&[("config.json", BERT), ("vocab.txt", WORDS), ("tokenizer_config.json", config)]).unwrap();
    TEXTS.iter().map(|text| ids(&tokenizer, text)).collect()
}

#[test]
fn wordpiece_with_every_setting() {
    let lower: [&[u32]; 7] = [
        &[2, 5, 6, 11, 14, 12, 13, 15, 3],
        &[2, 7, 7, 7, 3],
        &[2, 16, 17, 5, 16, 3],
        &[2, 5, 4, 6, 3],
        &[2, 1, 1, 1, 1, 3],
        &[2, 3],
        &[2, 1, 5, 6, 3],
    ];
    for config in
        ["{}", r#"{"do_lower_case": true}"#, r#"{"tokenizer_class": "BertTokenizerFast", "strip_accents": null}"#]
    {
        assert_eq!(wordpiece(config), lower, "{config}");
    }
    let mut cased = lower;
    (cased[0], cased[1]) = (&[2, 1, 6, 11, 14, 12, 13, 15, 3], &[2, 1, 1, 7, 3]);
    assert_eq!(wordpiece(r#"{"do_lower_case": false}"#), cased);
    let mut accents = lower;
    accents[1] = &[2, 8, 8, 7, 3];
    assert_eq!(wordpiece(r#"{"strip_accents": false, "do_basic_tokenize": true, "never_split": null}"#), accents);
    let mut chinese = lower;
    chinese[2] = &[2, 1, 1, 3];
    assert_eq!(wordpiece(r#"{"tokenize_chinese_chars": false, "never_split": []}"#), chinese);
}

#[test]
fn pairs_have_types_and_words_have_places() {
    let tokenizer = open(&[("config.json", BERT), ("vocab.txt", WORDS)]).unwrap();
    let pair = tokenizer.locate(TextInput::pair("the cat", "sat")).unwrap();
    assert_eq!(pair.ids, [2, 5, 6, 3, 10, 3]);
    assert_eq!(pair.types, [0, 0, 0, 0, 1, 1]);
    let places: Vec<_> = pair.origins.iter().flatten().map(|origin| (origin.part, origin.bytes.clone())).collect();
    assert_eq!(places, [(0, 0..3), (0, 4..7), (1, 0..3)]);
}

/// A silent file is said to be, and a file that speaks is not.
#[test]
fn what_is_assumed_is_noted() {
    let notes = |files: &[(&str, &str)]| open(files).unwrap().notes().to_vec();
    let (config, vocab) = (("config.json", BERT), ("vocab.txt", WORDS));
    assert_eq!(notes(&[config, vocab]), ["lower case: yes (assumed: no tokenizer_config.json)"]);
    let silent = ("tokenizer_config.json", "{}");
    assert_eq!(notes(&[config, vocab, silent]), ["lower case: yes (assumed: tokenizer_config.json does not say)"]);
    assert!(notes(&[config, vocab, ("tokenizer_config.json", r#"{"do_lower_case": true}"#)]).is_empty());
}

/// A stored tokenizer is the same one, and it is written as any `tokenizer.json`.
#[test]
fn what_is_made_can_be_stored() {
    let made = open(&[("config.json", BERT), ("vocab.txt", WORDS)]).unwrap();
    let json = std::str::from_utf8(made.json()).unwrap().to_owned();
    let stored = open(&[("tokenizer.json", &json)]).unwrap();
    for text in TEXTS {
        assert_eq!(ids(&stored, text), ids(&made, text), "{text}");
    }
    assert_eq!(stored.json(), made.json());
    assert!(tokenizers_reads(&json));
}

fn tokenizers_reads(json: &str) -> bool {
    json.parse::<tokenizers::Tokenizer>().is_ok()
}

#[test]
fn lines_may_end_as_on_windows_and_begin_with_a_mark() {
    let windows = format!("\u{feff}{}", WORDS.replace('\n', "\r\n"));
    let tokenizer = open(&[("config.json", BERT), ("vocab.txt", &windows)]).unwrap();
    assert_eq!(ids(&tokenizer, "the cat [PAD]"), [2, 5, 6, 0, 3]);
}

/// Special tokens of other names, from each of the files that may have them.
#[test]
fn special_tokens_have_the_names_that_the_files_give() {
    let vocab = ("vocab.txt", "<pad>\n<unk>\n<s>\n</s>\n<mask>\na\nb\n");
    let tokens = r#""unk_token": "<unk>", "cls_token": "<s>", "sep_token": {"content": "</s>"}, "pad_token": "<pad>", "mask_token": "<mask>""#;
    let map = format!("{{{tokens}}}");
    let config = format!(r#"{{"do_lower_case": false, {tokens}}}"#);
    for files in [
        &[("special_tokens_map.json", map.as_str())][..],
        &[("tokenizer_config.json", config.as_str())],
        // The map goes before the other file, unless that lists all tokens.
        &[("tokenizer_config.json", r#"{"cls_token": "b"}"#), ("special_tokens_map.json", map.as_str())],
    ] {
        let tokenizer = open(&[&[("config.json", BERT), vocab], files].concat()).unwrap();
        assert_eq!(ids(&tokenizer, "a c <mask>b"), [2, 5, 1, 4, 6, 3], "{files:?}");
    }
    let decoder = r#"{"added_tokens_decoder": {"4": {"content": "<mask>", "special": true}}, "cls_token": "b",
        "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>", "mask_token": "<mask>"}"#;
    let files = [("config.json", BERT), vocab, ("tokenizer_config.json", decoder), ("special_tokens_map.json", &map)];
    assert_eq!(ids(&open(&files).unwrap(), "a <mask>"), [6, 5, 4, 3]);
}

#[test]
fn added_tokens_stand_for_themselves() {
    let files = [
        ("config.json", BERT),
        ("vocab.txt", WORDS),
        ("tokenizer_config.json", r#"{"do_lower_case": true, "additional_special_tokens": ["[E2]"]}"#),
        ("added_tokens.json", r#"{"[E1]": 21, "[E2]": 22, "newword": 23}"#),
    ];
    let tokenizer = open(&files).unwrap();
    assert!(tokenizer.notes().is_empty(), "{:?}", tokenizer.notes());
    assert_eq!(ids(&tokenizer, "the [E2][E1] NewWord cat"), [2, 5, 22, 21, 23, 6, 3]);
    // Ids that the library does not give.
    let gap = [("config.json", BERT), ("vocab.txt", WORDS), ("added_tokens.json", r#"{"[E1]": 30}"#)];
    let note = open(&gap).unwrap().notes().join("\n");
    assert!(note.contains("\"[E1]\" is 21 instead of 30"), "{note}");
}

#[test]
fn settings_that_cannot_be_honoured_are_refused_by_name() {
    for (config, expected) in [
        (r#"{"do_basic_tokenize": false}"#, "do_basic_tokenize"),
        (r#"{"never_split": ["abc"]}"#, "never_split"),
        (r#"{"do_lower_case": "yes"}"#, "do_lower_case"),
        (r#"{"cls_token": 3}"#, "cls_token"),
        (r#"{"cls_token": "[NONE]"}"#, "no token [NONE]"),
        (r#"{"added_tokens_decoder": {"x": "y"}}"#, "added_tokens_decoder"),
        (r#"{"added_tokens_decoder": [1]}"#, "added_tokens_decoder"),
    ] {
        let error = refused(&[("config.json", BERT), ("vocab.txt", WORDS), ("tokenizer_config.json", config)]);
        assert!(error.contains(expected), "{config}: {error}");
    }
}

// ---- byte-level BPE ----

const ROBERTA: &str = r#"{"model_type": "roberta"}"#;
const BPE: &str = r#"{"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, "b": 5, "c": 6, "d": 7, "e": 8, "h": 9, "l": 10, "o": 11,
    "r": 12, "t": 13, "Ġ": 14, "Ã": 15, "©": 16, "he": 17, "ll": 18, "hell": 19, "hello": 20, "Ġhello": 21, "Ġc": 22, "Ġca": 23,
    "Ġcat": 24, "Ã©": 25, "<mask>": 26}"#;
const MERGES: &str = "#version: 0.2\nh e\nl l\nhe ll\nhell o\nĠ hello\nĠ c\nĠc a\nĠca t\nÃ ©\n";

#[test]
fn byte_level_bpe() {
    let texts = ["hello cat", " hello", "cat <mask> hello", "cathello", "é cat", "the", ""];
    let plain: [&[u32]; 7] = [
        &[0, 20, 24, 2],
        &[0, 21, 2],
        &[0, 6, 4, 13, 26, 21, 2],
        &[0, 6, 4, 13, 20, 2],
        &[0, 25, 24, 2],
        &[0, 13, 17, 2],
        &[0, 2],
    ];
    let prefixed: [&[u32]; 7] = [
        &[0, 21, 24, 2],
        &[0, 21, 2],
        &[0, 24, 26, 21, 2],
        &[0, 24, 20, 2],
        &[0, 14, 25, 24, 2],
        &[0, 14, 13, 17, 2],
        &[0, 2],
    ];
    let without_header = MERGES.replace("#version: 0.2\n", "");
    for (config, merges, expected) in [
        ("{}", MERGES, plain),
        (r#"{"tokenizer_class": "RobertaTokenizer", "add_prefix_space": false}"#, &without_header, plain),
        (r#"{"add_prefix_space": true, "errors": "replace"}"#, MERGES, prefixed),
    ] {
        let files =
            [("config.json", ROBERTA), ("vocab.json", BPE), ("merges.txt", merges), ("tokenizer_config.json", config)];
        let tokenizer = open(&files).unwrap();
        for (text, expected) in texts.iter().zip(expected) {
            assert_eq!(ids(&tokenizer, text), expected, "{config}: {text:?}");
        }
        let pair = tokenizer.locate(TextInput::pair("cat", "the")).unwrap();
        assert!(pair.types.iter().all(|kind| *kind == 0));
        assert_eq!(pair.ids.iter().filter(|id| **id == 2).count(), 3, "two separators between the texts");
    }
}

#[test]
fn places_in_byte_level_text() {
    let files = [("config.json", ROBERTA), ("vocab.json", BPE), ("merges.txt", MERGES)];
    let tokens = open(&files).unwrap().locate(TextInput::new("é cat")).unwrap();
    let places: Vec<_> = tokens.origins.iter().flatten().map(|origin| origin.bytes.clone()).collect();
    assert_eq!(places, [0..2, 3..6], "the blank is not a part of the word");
}

#[test]
fn halves_and_contradictions_of_byte_level_files() {
    let (config, vocab, merges) = (("config.json", ROBERTA), ("vocab.json", BPE), ("merges.txt", MERGES));
    assert!(refused(&[config, vocab]).contains("vocab.json and merges.txt"));
    assert!(refused(&[config, merges]).contains("vocab.json and merges.txt"));
    assert!(refused(&[config, vocab, ("merges.txt", "h e\nhe\n")]).contains("in line 2"));
    let error = refused(&[config, vocab, ("merges.txt", "x y\n")]);
    assert!(error.contains("vocab.json") && error.contains('x'), "{error}");
    assert!(refused(&[config, ("vocab.json", r#"{"a": 0}"#), merges]).contains("no token <s>"));
    assert!(refused(&[config, ("vocab.json", r#"{"a": -1}"#), merges]).contains("vocab.json"));
    assert!(refused(&[config, ("vocab.json", "[1]"), merges]).contains("vocab.json"));
}

// ---- which of them ----

#[test]
fn the_class_decides_and_others_are_refused_with_a_way_out() {
    let (vocab, piece) = (("vocab.txt", WORDS), ("sentencepiece.bpe.model", "\u{1}"));
    let class = |class: &str| format!(r#"{{"tokenizer_class": "{class}"}}"#);
    // MiniLM in many languages: BERT's layers with XLM-RoBERTa's tokenizer.
    let xlmr = class("XLMRobertaTokenizer");
    for files in [
        &[("config.json", BERT), piece, ("tokenizer_config.json", xlmr.as_str())][..],
        &[("config.json", BERT), vocab, ("tokenizer_config.json", xlmr.as_str())],
        &[("config.json", r#"{"model_type": "xlm-roberta"}"#), piece],
        &[("config.json", BERT), piece],
        &[("config.json", r#"{"model_type": "camembert"}"#), piece],
    ] {
        let error = refused(files);
        assert!(error.contains("AutoTokenizer") && error.contains("tokenizer.json"), "{error}");
    }
    let japanese = class("BertJapaneseTokenizer");
    let error = refused(&[("config.json", BERT), vocab, ("tokenizer_config.json", &japanese)]);
    assert!(error.contains("BertJapaneseTokenizer"), "{error}");
    // The class may also be in config.json, and goes before the type of the model.
    let named = r#"{"model_type": "xlm-roberta", "tokenizer_class": "BertTokenizer"}"#;
    assert_eq!(ids(&open(&[("config.json", named), vocab]).unwrap(), "the cat"), [2, 5, 6, 3]);
    for model_type in ["distilbert", "electra"] {
        let config = format!(r#"{{"model_type": "{model_type}"}}"#);
        assert_eq!(ids(&open(&[("config.json", &config), vocab]).unwrap(), "the cat"), [2, 5, 6, 3]);
    }
}

#[test]
fn tokenizer_json_goes_before_a_vocabulary() {
    let json = crate::words(&["?", "the"]).to_string();
    let dir = folder(&[("config.json", BERT), ("vocab.txt", WORDS), ("tokenizer.json", &json)]);
    assert_eq!(ids(&open_dir(dir.path()).unwrap(), "the cat"), [1, 0]);
}
