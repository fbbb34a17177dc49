//! Text to token ids, through `tokenizer.json`.

mod pieces;
mod vocabulary;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rayon::prelude::*;
use serde::Deserialize;
use tokenizers::{Encoding, PostProcessor, Tokenizer};

use crate::config::EncoderConfig;
use crate::error::{Error, Result};
use crate::json::read_json_if_present;

pub use self::pieces::{TextInput, TokenOrigin, TokenizedText};

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
/// Padding and truncation settings stored in `tokenizer.json` are ignored: nothing is padded, and
/// sentences are cut only at [`SentenceTokenizer::max_length`].
#[derive(Debug, Clone)]
pub struct SentenceTokenizer {
    path: PathBuf,
    /// What it was read from.
    json: Bytes,
    /// Clones share it: vocabularies are large.
    tokenizer: Arc<Tokenizer>,
    max_length: usize,
}

/// Tokenizes inputs in parallel. Nothing is cut; types are 0 where the model has no others.
///
/// # Errors
/// [`Error::NoTokenizer`] without a tokenizer, [`Error::Tokenizer`] if it fails on a text.
pub fn locate_all(
    config: &EncoderConfig,
    tokenizer: Option<&SentenceTokenizer>,
    inputs: &[TextInput<'_>],
) -> Result<Vec<TokenizedText>> {
    let tokenizer = tokenizer.ok_or(Error::NoTokenizer)?;
    let located = inputs.par_iter().map(|input| {
        let tokens = tokenizer.locate(*input)?;
        Ok(if config.type_vocab_size == 1 { tokens.untyped() } else { tokens })
    });
    located.collect()
}

#[derive(Deserialize)]
struct SentenceBertConfig {
    max_seq_length: Option<usize>,
}

impl SentenceTokenizer {
    /// Reads `tokenizer.json` and, when there is one, `sentence_bert_config.json` of a directory.
    ///
    /// The longest sequence is the smaller of `max_seq_length` there and `max_position` here.
    /// A directory without `tokenizer.json` gives `None`.
    ///
    /// # Errors
    /// [`Error::Tokenizer`], [`Error::Json`], [`Error::Io`]; [`Error::InvalidSetting`] when the
    /// limit leaves no room for the special tokens.
    pub fn from_dir(dir: &Path, max_position: usize) -> Result<Option<Self>> {
        let settings_path = dir.join("sentence_bert_config.json");
        let settings: Option<SentenceBertConfig> = read_json_if_present(&settings_path)?;
        let limit = settings.and_then(|s| s.max_seq_length);
        let max_length = limit.map_or(max_position, |n| n.min(max_position));

        let path = dir.join("tokenizer.json");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Io { path, action: "read", source }),
        };
        let settings = if limit.is_some() { settings_path } else { dir.join("config.json") };
        Self::parse(&path, &settings, bytes.into(), max_length).map(Some)
    }

    /// A tokenizer of `tokenizer.json`'s bytes, which `path` holds.
    pub fn from_json(path: &Path, json: Bytes, max_length: usize) -> Result<Self> {
        Self::parse(path, path, json, max_length)
    }

    /// `settings` is the file that gave the limit.
    fn parse(path: &Path, settings: &Path, json: Bytes, max_length: usize) -> Result<Self> {
        let failed = |error: tokenizers::Error| Error::Tokenizer { path: path.to_owned(), reason: error.to_string() };
        let mut tokenizer = Tokenizer::from_bytes(&json).map_err(failed)?;
        let special_tokens = tokenizer.get_post_processor().map_or(0, |p| p.added_tokens(false));
        if max_length <= special_tokens {
            return Err(Error::InvalidSetting {
                path: settings.to_owned(),
                setting: "max_seq_length",
                found: max_length.to_string(),
                expected: format!("more than the {special_tokens} special tokens"),
            });
        }
        // Long inputs are truncated here; pairs and long contexts each have their own rule.
        tokenizer.with_padding(None).with_truncation(None).map_err(failed)?;
        Ok(Self { path: path.to_owned(), json, tokenizer: Arc::new(tokenizer), max_length })
    }

    /// The bytes of `tokenizer.json`.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// The longest sequence in tokens, special tokens included.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// Tokenizes one sentence. The empty string gives the special tokens alone.
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn encode(&self, sentence: &str) -> Result<Encoded> {
        let encoding = self.tokenizer.encode_fast(sentence, true).map_err(|error| self.failed(&error))?;
        let (ids, found) = (encoding.get_ids(), encoding.len());
        if found <= self.max_length {
            return Ok(Encoded { ids: ids.to_vec(), truncated_from: None });
        }
        Ok(Encoded { ids: cut(&encoding, self.max_length), truncated_from: Some(found) })
    }

    /// Tokenizes many sentences in parallel; the order is kept.
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn encode_batch<S: AsRef<str> + Sync>(&self, sentences: &[S]) -> Result<Vec<Encoded>> {
        sentences.par_iter().map(|sentence| self.encode(sentence.as_ref())).collect()
    }

    /// Tokenizes a text or a pair, and keeps where each token comes from. Nothing is cut.
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn locate(&self, input: TextInput<'_>) -> Result<TokenizedText> {
        let encoded = match input.pair {
            None => self.tokenizer.encode(input.text, true),
            Some(pair) => self.tokenizer.encode((input.text, pair), true),
        };
        Ok(TokenizedText::new(&encoded.map_err(|error| self.failed(&error))?))
    }

    /// The id of a token, as it stands in the vocabulary.
    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// The text that a token stands for, alone.
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn text_of(&self, id: u32) -> Result<String> {
        self.tokenizer.decode(&[id], false).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &tokenizers::Error) -> Error {
        Error::Tokenizer { path: self.path.clone(), reason: error.to_string() }
    }
}

/// The first `limit` tokens, special tokens counted and all of them kept.
fn cut(encoding: &Encoding, limit: usize) -> Vec<u32> {
    let special = encoding.get_special_tokens_mask();
    let mut room = limit.saturating_sub(special.iter().filter(|mask| **mask == 1).count());
    let mut keep = |(id, special): (&u32, &u32)| {
        let kept = *special == 1 || room > 0;
        room = room.saturating_sub(usize::from(*special == 0));
        kept.then_some(*id)
    };
    encoding.get_ids().iter().zip(special).filter_map(&mut keep).collect()
}
