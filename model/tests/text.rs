//! Tokenizer and pooling files of a model directory.

use std::collections::HashMap;
use std::path::Path;

use lacuna_model::{Error, SentenceTokenizer};
use tempfile::TempDir;
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::pre_tokenizers::whitespace::Whitespace;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{PaddingParams, Tokenizer, TruncationParams};

const CLS: u32 = 1;
const SEP: u32 = 2;

/// Writes a word-level tokenizer with BERT's special tokens, and with padding and truncation
/// settings that must not matter.
fn write_tokenizer(dir: &Path) {
    let words = ["[UNK]", "[CLS]", "[SEP]", "a", "b", "c"];
    let vocab: HashMap<String, u32> = words.iter().zip(0..).map(|(w, i)| ((*w).to_owned(), i)).collect();
    let model = WordLevel::builder().vocab(vocab.into_iter().collect()).unk_token("[UNK]".into()).build().unwrap();
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(Whitespace {}));
    tokenizer.with_post_processor(Some(BertProcessing::new(("[SEP]".into(), SEP), ("[CLS]".into(), CLS))));
    tokenizer.with_padding(Some(PaddingParams::default()));
    tokenizer.with_truncation(Some(TruncationParams { max_length: 4, ..TruncationParams::default() })).unwrap();
    tokenizer.save(dir.join("tokenizer.json"), false).unwrap();
}

fn tokenizer(max_seq_length: Option<usize>, max_position: usize) -> Result<Option<SentenceTokenizer>, Error> {
    let dir = TempDir::new().unwrap();
    write_tokenizer(dir.path());
    if let Some(n) = max_seq_length {
        let json = format!("{{\"max_seq_length\": {n}}}");
        std::fs::write(dir.path().join("sentence_bert_config.json"), json).unwrap();
    }
    SentenceTokenizer::from_dir(dir.path(), max_position)
}

#[test]
fn stored_padding_and_truncation_do_not_matter() {
    let tokenizer = tokenizer(None, 16).unwrap().unwrap();
    let encoded = tokenizer.encode_batch(&["a b c a b c", "a"]).unwrap();
    assert_eq!(encoded[0].ids, [CLS, 3, 4, 5, 3, 4, 5, SEP]);
    assert_eq!(encoded[1].ids, [CLS, 3, SEP]);
    assert!(encoded.iter().all(|e| e.truncated_from.is_none()));
}

#[test]
fn the_empty_string_has_its_special_tokens() {
    let tokenizer = tokenizer(None, 16).unwrap().unwrap();
    assert_eq!(tokenizer.encode("").unwrap().ids, [CLS, SEP]);
    assert_eq!(tokenizer.encode(" \t\n").unwrap().ids, [CLS, SEP]);
}

#[test]
fn long_sentences_are_cut_and_say_so() {
    for (max_seq_length, max_position, limit) in [(None, 8, 8), (Some(6), 16, 6), (Some(100), 8, 8), (Some(3), 8, 3)] {
        let tokenizer = tokenizer(max_seq_length, max_position).unwrap().unwrap();
        assert_eq!(tokenizer.max_length(), limit);
        for words in 0..40 {
            let encoded = tokenizer.encode(&"a ".repeat(words)).unwrap();
            assert_eq!(encoded.ids.len(), (words + 2).min(limit), "{words} words");
            assert_eq!(encoded.truncated_from, (words + 2 > limit).then_some(words + 2), "{words} words");
            assert_eq!((encoded.ids[0], *encoded.ids.last().unwrap()), (CLS, SEP));
        }
    }
}

#[test]
fn a_limit_without_room_is_an_error() {
    for limit in [0, 1, 2] {
        assert!(matches!(tokenizer(Some(limit), 16), Err(Error::InvalidSetting { setting: "max_seq_length", .. })));
    }
}

#[test]
fn absent_and_damaged_tokenizers() {
    let dir = TempDir::new().unwrap();
    assert!(SentenceTokenizer::from_dir(dir.path(), 16).unwrap().is_none());
    std::fs::write(dir.path().join("tokenizer.json"), "{\"version\": \"1.0\"").unwrap();
    let error = SentenceTokenizer::from_dir(dir.path(), 16).expect_err("half a file");
    assert!(matches!(&error, Error::Json { path, .. } if path.ends_with("tokenizer.json")), "{error}");
}
