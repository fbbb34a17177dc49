//! Which files of a folder hold the tokenizer, and what reads them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::beside::{apply, name_mask};
use super::byte_level::byte_level;
use super::special::TokenFiles;
use super::wordpiece::{Made, wordpiece};
use crate::error::{Error, Result};
use crate::json::{if_present, read_file, read_json_if_present, read_json_within, text_of};

/// The most bytes of a `tokenizer.json`; the largest that are in use have some 35 million.
const TOKENIZER_LIMIT: u64 = 256 << 20;
/// The most bytes of a vocabulary.
const VOCABULARY_LIMIT: u64 = 64 << 20;

const WHOLE: &str = "tokenizer.json";
const WORDS: &str = "vocab.txt";
const BYTES: [&str; 2] = ["vocab.json", "merges.txt"];
/// Models of the sentencepiece library.
const PIECES: [&str; 5] =
    ["sentencepiece.bpe.model", "spiece.model", "tokenizer.model", "sentencepiece.model", "spm.model"];

/// The vocabularies that are read where there is no `tokenizer.json`.
#[cfg(feature = "hub")]
pub(crate) const VOCABULARY_FILES: [&str; 3] = [WORDS, BYTES[0], BYTES[1]];
/// The files with tokens that count beside each of them.
#[cfg(feature = "hub")]
pub(crate) const TOKEN_FILES: [&str; 2] = ["special_tokens_map.json", "added_tokens.json"];

/// The classes of transformers whose vocabularies are read without a `tokenizer.json`, with `Fast` at their end or without it.
const WORDPIECE_CLASSES: [&str; 3] = ["BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer"];
const BYTE_LEVEL_CLASSES: [&str; 1] = ["RobertaTokenizer"];

/// A tokenizer's definition, and where it comes from.
pub(super) struct Source {
    /// The file, for messages.
    pub(super) path: PathBuf,
    pub(super) json: Value,
    /// The bytes of a `tokenizer.json`.
    pub(super) bytes: Option<Bytes>,
    /// What was assumed.
    pub(super) notes: Vec<String>,
}

/// Whether a folder has any of the files that a tokenizer may be in.
pub(crate) fn has_tokenizer(dir: &Path) -> bool {
    names().any(|name| dir.join(name).exists())
}

/// All files that a tokenizer may be in.
fn names() -> impl Iterator<Item = &'static str> {
    [WHOLE, WORDS].into_iter().chain(BYTES).chain(PIECES)
}

/// Reads the tokenizer of a folder; `None` if there is none.
///
/// # Errors
/// Those of reading; [`Error::TokenizerFiles`] for files that are not read here.
pub(super) fn read(dir: &Path) -> Result<Option<Source>> {
    let path = dir.join(WHOLE);
    if let Some(bytes) = if_present(read_file(&path, TOKENIZER_LIMIT))? {
        let mut source = parse(path, bytes.into())?;
        let applied = apply(&mut source.json, &TokenFiles::read(dir)?)?;
        source.bytes = source.bytes.filter(|_| !applied.is_changed);
        source.notes = applied.notes;
        return Ok(Some(source));
    }
    let found: Vec<&str> = names().filter(|name| dir.join(name).exists()).collect();
    if found.is_empty() {
        return Ok(None);
    }
    let files = TokenFiles::read(dir)?;
    let class = Class::of(dir, &files, &found)?;
    let missing = class.files().iter().any(|name| !found.contains(name));
    if missing || class == Class::Other {
        return Err(refused(dir, &class, &files, &found));
    }
    let text = |path: &Path| read_file(path, VOCABULARY_LIMIT);
    let mut source = match class {
        Class::WordPiece => {
            let path = dir.join(WORDS);
            let bytes = text(&path)?;
            let Made { json, notes } = wordpiece(&path, text_of(&path, &bytes)?, &files)?;
            Source { path, json, bytes: None, notes }
        }
        _ => {
            let [vocab, merges] = BYTES.map(|name| dir.join(name));
            let tokens: HashMap<String, u32> = read_json_within(&vocab, VOCABULARY_LIMIT)?;
            let bytes = text(&merges)?;
            let json = byte_level([&vocab, &merges], tokens, text_of(&merges, &bytes)?, &files)?;
            Source { path: vocab, json, bytes: None, notes: Vec::new() }
        }
    };
    name_mask(&mut source.json, &files)?;
    Ok(Some(source))
}

/// A `tokenizer.json`.
pub(super) fn parse(path: PathBuf, bytes: Bytes) -> Result<Source> {
    let json = serde_json::from_str(text_of(&path, &bytes)?);
    let json = json.map_err(|source| Error::Json { path: path.clone(), source })?;
    Ok(Source { path, json, bytes: Some(bytes), notes: Vec::new() })
}

/// How a vocabulary is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    WordPiece,
    ByteLevel,
    Other,
}

#[derive(Deserialize)]
struct RawConfig {
    tokenizer_class: Option<String>,
    model_type: Option<String>,
}

impl Class {
    /// By `tokenizer_class` of `tokenizer_config.json` or of `config.json`, else by `model_type`, else by the files.
    fn of(dir: &Path, files: &TokenFiles, found: &[&str]) -> Result<Class> {
        let config: Option<RawConfig> = read_json_if_present(&dir.join("config.json"))?;
        let config = config.unwrap_or(RawConfig { tokenizer_class: None, model_type: None });
        let named = files.text("tokenizer_class")?.or(config.tokenizer_class.as_deref());
        if let Some(class) = named {
            let class = class.strip_suffix("Fast").unwrap_or(class);
            return Ok(match class {
                _ if WORDPIECE_CLASSES.contains(&class) => Class::WordPiece,
                _ if BYTE_LEVEL_CLASSES.contains(&class) => Class::ByteLevel,
                _ => Class::Other,
            });
        }
        Ok(match config.model_type.as_deref() {
            Some("bert" | "distilbert" | "electra") => Class::WordPiece,
            Some("roberta") => Class::ByteLevel,
            Some(_) => Class::Other,
            None if found.contains(&WORDS) => Class::WordPiece,
            None if found.contains(&BYTES[0]) => Class::ByteLevel,
            None => Class::Other,
        })
    }

    fn files(self) -> &'static [&'static str] {
        match self {
            Class::WordPiece => &[WORDS],
            Class::ByteLevel => &BYTES,
            Class::Other => &[],
        }
    }
}

fn refused(dir: &Path, class: &Class, files: &TokenFiles, found: &[&str]) -> Error {
    let named = files.text("tokenizer_class").ok().flatten();
    let named = named.map_or_else(String::new, |name| format!(" for the class {name}"));
    let here = match class {
        Class::Other => format!(
            "{WHOLE} (without it, only the vocabularies of {} and {} are read)",
            WORDPIECE_CLASSES.join(", "),
            BYTE_LEVEL_CLASSES.join(", ")
        ),
        class => format!("{WHOLE}, or {}", class.files().join(" and ")),
    };
    let folder = dir.display();
    Error::TokenizerFiles {
        path: dir.to_owned(),
        found: format!("{}{named}", found.join(", ")),
        expected: format!(
            "{here}; this writes it (with the packages transformers and sentencepiece): python -c \"from transformers import \
             AutoTokenizer as T; T.from_pretrained('{folder}').save_pretrained('{folder}')\""
        ),
    }
}
