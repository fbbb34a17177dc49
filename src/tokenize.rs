//! Text to token ids, through `tokenizer.json`.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;
use tokenizers::{PostProcessor, Tokenizer, TruncationParams};

use crate::config::read_json_if_present;
use crate::error::{Error, Result};

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
    tokenizer: Tokenizer,
    max_length: usize,
    special_tokens: usize,
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
        let failed = |error: tokenizers::Error| Error::Tokenizer { path: path.clone(), reason: error.to_string() };
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(failed)?;
        let special_tokens = tokenizer.get_post_processor().map_or(0, |p| p.added_tokens(false));
        if max_length <= special_tokens {
            return Err(Error::InvalidSetting {
                path: if limit.is_some() { settings_path } else { dir.join("config.json") },
                setting: "max_seq_length",
                found: max_length.to_string(),
                expected: format!("more than the {special_tokens} special tokens"),
            });
        }
        let truncation = TruncationParams { max_length, ..TruncationParams::default() };
        tokenizer.with_padding(None).with_truncation(Some(truncation)).map_err(failed)?;
        Ok(Some(Self { path, tokenizer, max_length, special_tokens }))
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
        let encoding = self
            .tokenizer
            .encode_fast(sentence, true)
            .map_err(|error| Error::Tokenizer { path: self.path.clone(), reason: error.to_string() })?;
        let ids = encoding.get_ids().to_vec();
        // The pieces cut off come back with special tokens of their own.
        let cut: usize = encoding
            .get_overflowing()
            .iter()
            .map(|piece| piece.get_ids().len().saturating_sub(self.special_tokens))
            .sum();
        let truncated_from = (cut > 0).then_some(ids.len() + cut);
        Ok(Encoded { ids, truncated_from })
    }

    /// Tokenizes many sentences in parallel; the order is kept.
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn encode_batch<S: AsRef<str> + Sync>(&self, sentences: &[S]) -> Result<Vec<Encoded>> {
        sentences.par_iter().map(|sentence| self.encode(sentence.as_ref())).collect()
    }
}
