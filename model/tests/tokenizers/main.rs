//! Tokenizers: from vocabularies, from damaged files, and with settings of other files.

mod beside;
mod damage;
mod settings;
mod vocabularies;

use std::path::Path;

use lacuna_model::{Error, SentenceTokenizer, TokenizerOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

/// The tokenizer of a folder with these files.
fn open(files: &[(&str, &str)]) -> Result<SentenceTokenizer, Error> {
    open_dir(folder(files).path())
}

fn open_dir(dir: &Path) -> Result<SentenceTokenizer, Error> {
    SentenceTokenizer::open(dir, &TokenizerOptions::new(64)).map(|found| found.expect("there are files of a tokenizer"))
}

fn refused(files: &[(&str, &str)]) -> String {
    open(files).expect_err("refused").to_string()
}

fn ids(tokenizer: &SentenceTokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(text).unwrap().ids
}

/// `tokenizer.json` of a word-level tokenizer over `words`, whose ids are their places.
fn words(words: &[&str]) -> Value {
    let vocab: serde_json::Map<String, Value> =
        words.iter().zip(0..).map(|(word, id)| ((*word).to_owned(), json!(id))).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": { "type": "WhitespaceSplit" }, "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": words[0] },
    })
}
