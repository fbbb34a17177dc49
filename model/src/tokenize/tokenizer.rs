//! A tokenizer with the length limit of its model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rayon::prelude::*;
use serde_json::Value;
use tokenizers::{Encoding, Model as _, PostProcessor};

use super::barrier::guarded;
use super::beside::named_mask;
use super::budget::within_budget;
use super::check::{Checked, check};
use super::costly::check_text;
use super::folder::{self, Source};
use super::library::Library;
use super::options::{TokenizerOptions, TruncationSide};
use super::pieces::{TextInput, TokenizedText};
use super::words::origins;
use crate::error::{Error, Result};

/// What stands for a panic of the library in messages.
const PANIC: &str = "the tokenizers library stopped at a contradiction";
/// How many tokens a note names.
const NAMED: usize = 3;

/// The token ids of one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids, special tokens included; never empty for a BERT tokenizer.
    pub ids: Vec<u32>,
    /// The number of tokens before truncation, when the sentence was longer than the limit.
    pub truncated_from: Option<usize>,
}

/// A model's tokenizer with the model's length limit.
///
/// The padding that is stored in `tokenizer.json` is ignored, and of the truncation all but the side: nothing is padded, and sentences
/// are cut only at [`SentenceTokenizer::max_length`].
///
/// A damaged file, and a text that the library fails on, are errors: its panics are caught. One text may take
/// some seconds in patterns of the file; then it is an error too.
#[derive(Debug, Clone)]
pub struct SentenceTokenizer {
    pub(super) path: PathBuf,
    /// What it was read from.
    json: Bytes,
    /// Clones share it: vocabularies are large.
    pub(super) tokenizer: Arc<Library>,
    max_length: usize,
    side: TruncationSide,
    /// Rows of the model's word embedding table, if the model is known.
    vocab_size: Option<usize>,
    notes: Vec<String>,
    /// The mask, if its name does not tell that it is one.
    pub(super) mask: Option<String>,
}

impl SentenceTokenizer {
    /// Reads the tokenizer of a directory: `tokenizer.json`; else `vocab.txt` (WordPiece), or `vocab.json` and `merges.txt` (byte-level
    /// BPE). Of each, with the settings of `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`.
    ///
    /// A directory without any of these files gives `None`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::FileKind`], [`Error::FileSize`], [`Error::Json`]; [`Error::TokenizerFiles`] for a tokenizer that needs
    /// to be converted; [`Error::Tokenizer`] for a damaged one; [`Error::InvalidSetting`], [`Error::UnsupportedSetting`] for settings,
    /// and when the limit leaves no room for the special tokens.
    pub fn open(dir: &Path, options: &TokenizerOptions) -> Result<Option<Self>> {
        folder::read(dir)?.map(|source| Self::build(source, options)).transpose()
    }

    /// A tokenizer of `tokenizer.json`'s bytes, which `path` holds.
    ///
    /// # Errors
    /// Those of [`SentenceTokenizer::open`] that concern this file.
    pub fn from_json(path: &Path, json: Bytes, max_length: usize) -> Result<Self> {
        let source = folder::parse(path.to_owned(), json)?;
        Self::build(source, &TokenizerOptions::new(max_length))
    }

    fn build(source: Source, options: &TokenizerOptions) -> Result<Self> {
        let Source { path, json, bytes, mut notes } = source;
        let failed = |reason: String| Error::Tokenizer { path: path.clone(), reason };
        let Checked { json, is_changed, side, notes: changes } = check(json, options).map_err(failed)?;
        let failed = |reason: String| Error::Tokenizer { path: path.clone(), reason };
        let bytes = match bytes {
            Some(bytes) if !is_changed => bytes,
            _ => serde_json::to_vec(&json).map_err(|error| failed(error.to_string()))?.into(),
        };
        let (declared, mask) = (declared_ids(&json), named_mask(&json));
        let mut tokenizer: Library = guarded(|| serde_json::from_value(json))
            .ok_or_else(|| failed(PANIC.into()))?
            .map_err(|error| failed(error.to_string()))?;
        let special_tokens = tokenizer.get_post_processor().map_or(0, |p| p.added_tokens(false));
        if options.max_length <= special_tokens {
            return Err(Error::InvalidSetting {
                path: options.max_length_file.clone().unwrap_or(path),
                setting: "max_seq_length",
                found: options.max_length.to_string(),
                expected: format!("more than the {special_tokens} special tokens"),
            });
        }
        // Long inputs are truncated here; pairs and long contexts each have their own rule.
        tokenizer.with_padding(None).with_truncation(None).map_err(|error| failed(error.to_string()))?;
        notes.extend(changes);
        notes.extend(other_ids(&tokenizer, declared));
        let (json, tokenizer, max_length) = (bytes, Arc::new(tokenizer), options.max_length);
        let built = Self { path, json, tokenizer, max_length, side, vocab_size: None, notes, mask };
        // What fails on the empty text fails on every text: the file is damaged.
        match built.encode("") {
            Err(Error::TokenizerText { path, reason }) => Err(Error::Tokenizer { path, reason }),
            Err(error) => Err(error),
            Ok(_) => Ok(built),
        }
    }

    /// The same tokenizer for a model with so many rows of word embeddings. A text with a token outside them is then an error of its own,
    /// and a note says that the tokenizer has such tokens.
    #[must_use]
    pub fn for_vocabulary(mut self, vocab_size: usize) -> Self {
        self.vocab_size = Some(vocab_size);
        self.notes.extend(outside(&self.tokenizer, vocab_size));
        self
    }

    /// The bytes of `tokenizer.json`, or of what it would be.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// The longest sequence in tokens, special tokens included.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// Which end of a long text is cut.
    pub fn truncation_side(&self) -> TruncationSide {
        self.side
    }

    /// What was assumed, changed or found strange in the tokenizer's files.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Tokenizes one sentence. The empty string gives the special tokens alone.
    ///
    /// # Errors
    /// [`Error::TokenizerText`]; [`Error::TokenOutsideTable`].
    pub fn encode(&self, sentence: &str) -> Result<Encoded> {
        let encoding = self.run(&[sentence], || self.tokenizer.encode_fast(sentence, true))?;
        let found = encoding.len();
        let encoded = match found <= self.max_length {
            true => Encoded { ids: encoding.get_ids().to_vec(), truncated_from: None },
            false => Encoded { ids: cut(&encoding, self.max_length, self.side), truncated_from: Some(found) },
        };
        self.check(&encoded.ids)?;
        Ok(encoded)
    }

    /// Tokenizes many sentences in parallel; the order is kept.
    ///
    /// # Errors
    /// [`Error::Text`] with the error of the first sentence that has one.
    pub fn encode_batch<S: AsRef<str> + Sync>(&self, sentences: &[S]) -> Result<Vec<Encoded>> {
        let encoded = sentences
            .par_iter()
            .enumerate()
            .map(|(text, sentence)| self.encode(sentence.as_ref()).map_err(|source| source.of_text(text)));
        // The first error of all, whichever thread meets one first.
        encoded.collect::<Vec<_>>().into_iter().collect()
    }

    /// Tokenizes a text or a pair, and keeps where each token comes from. Nothing is cut.
    ///
    /// # Errors
    /// [`Error::TokenizerText`]; [`Error::TokenOutsideTable`].
    pub fn locate(&self, input: TextInput<'_>) -> Result<TokenizedText> {
        let encoded = match input.pair {
            None => self.run(&[input.text], || self.tokenizer.encode(input.text, true)),
            Some(pair) => self.run(&[input.text, pair], || self.tokenizer.encode((input.text, pair), true)),
        };
        let encoding = encoded?;
        let no_text = |c: char| c.is_whitespace() || c == '\u{2581}';
        let is_blank = |id| self.text_of(id).is_ok_and(|text| text.trim_matches(no_text).is_empty());
        let tokens = TokenizedText::new(&encoding, origins(&encoding, input, is_blank), self.side);
        self.check(&tokens.ids)?;
        Ok(tokens)
    }

    /// The id of a token, as it stands in the vocabulary.
    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// The text that a token stands for, alone.
    ///
    /// # Errors
    /// [`Error::TokenizerText`].
    pub fn text_of(&self, id: u32) -> Result<String> {
        self.run(&[], || self.tokenizer.decode(&[id], false))
    }

    /// The text of many tokens, without the special ones if `skip_special` says so.
    ///
    /// # Errors
    /// [`Error::TokenizerText`].
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        self.run(&[], || self.tokenizer.decode(ids, skip_special))
    }

    /// Calls the library for one input.
    fn run<T>(&self, texts: &[&str], call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
        let failed = |reason| Error::TokenizerText { path: self.path.clone(), reason };
        texts.iter().try_for_each(|text| check_text(&self.tokenizer, text)).map_err(failed)?;
        let failed = |reason| Error::TokenizerText { path: self.path.clone(), reason };
        match guarded(|| within_budget(call)) {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(failed(error.to_string())),
            None => Err(failed(PANIC.into())),
        }
    }

    fn check(&self, ids: &[u32]) -> Result<()> {
        let Some(vocab_size) = self.vocab_size else { return Ok(()) };
        match ids.iter().find(|&&id| id as usize >= vocab_size) {
            None => Ok(()),
            Some(&id) => Err(Error::TokenOutsideTable {
                token: self.tokenizer.id_to_token(id).unwrap_or_default(),
                id,
                vocab_size,
            }),
        }
    }
}

/// The ids that a file gives its added tokens.
fn declared_ids(json: &Value) -> Vec<(String, u64)> {
    let added = json.get("added_tokens").and_then(Value::as_array);
    let declared = added.into_iter().flatten();
    declared
        .filter_map(|token| Some((token.get("content")?.as_str()?.to_owned(), token.get("id")?.as_u64()?)))
        .collect()
}

/// A note on added tokens that have other ids than their file says: the library numbers them itself.
fn other_ids(tokenizer: &Library, declared: Vec<(String, u64)>) -> Option<String> {
    let mut others = declared.into_iter().filter_map(|(token, id)| {
        let found = tokenizer.token_to_id(&token)?;
        (u64::from(found) != id).then(|| format!("{token:?} is {found} instead of {id}"))
    });
    let named: Vec<String> = others.by_ref().take(NAMED).collect();
    (!named.is_empty()).then(|| {
        let more = others.count();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let named = named.join(", ");
        format!("tokenizer: added tokens have other ids than their file gives, as in transformers: {named}{more}")
    })
}

/// A note on tokens that a model has no embeddings for.
fn outside(tokenizer: &Library, vocab_size: usize) -> Option<String> {
    let mut outside = BTreeMap::new();
    for (token, id) in tokenizer.get_vocab(true).into_iter().filter(|(_, id)| *id as usize >= vocab_size) {
        outside.insert(id, token);
    }
    let (count, tokens) = (outside.len(), tokenizer.get_model().get_vocab_size().max(tokenizer.get_vocab_size(true)));
    let named: Vec<String> = outside.iter().take(NAMED).map(|(id, token)| format!("{token:?} is {id}")).collect();
    (count > 0).then(|| {
        let more = if count > NAMED { ", ..." } else { "" };
        let named = named.join(", ");
        format!(
            "tokenizer: {count} of its {tokens} tokens have no embedding (the model has {vocab_size}; {named}{more}): texts with \
             them are refused"
        )
    })
}

/// `limit` tokens, special tokens counted and all of them kept.
fn cut(encoding: &Encoding, limit: usize, side: TruncationSide) -> Vec<u32> {
    let special = encoding.get_special_tokens_mask();
    let others = special.iter().filter(|mask| **mask == 0).count();
    let room = limit.saturating_sub(special.len() - others);
    let first = match side {
        TruncationSide::Right => 0,
        TruncationSide::Left => others.saturating_sub(room),
    };
    let kept = first..first.saturating_add(room);
    let mut index = 0;
    let keep = |(id, special): (&u32, &u32)| {
        let is_kept = *special == 1 || kept.contains(&index);
        index += usize::from(*special == 0);
        is_kept.then_some(*id)
    };
    encoding.get_ids().iter().zip(special).filter_map(keep).collect()
}
