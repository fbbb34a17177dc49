//! Which texts a model's vocabulary has words for.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::config::EncoderConfig;
use crate::error::{Error, Result};
use crate::tokenize::{SentenceTokenizer, TextInput, TokenizedText};

/// A text with more unknown tokens than one in so many is left out.
const UNKNOWN_IN: usize = 3;

/// The tokens of a model, as far as calibration must know them.
pub(super) struct Vocabulary {
    /// Rows of the table of embeddings.
    rows: u32,
    /// What stands for words that the vocabulary lacks; none in tokenizers that have something for every text.
    unknown: Option<u32>,
    /// Tokens that can stand in a text: all but special, unknown and unused ones.
    pub(super) words: Vec<u32>,
    /// The special tokens before a text.
    pub(super) before: Vec<u32>,
    /// The special tokens after a text.
    pub(super) after: Vec<u32>,
}

/// The part of `tokenizer.json` that names the unknown token.
#[derive(Deserialize)]
struct File {
    model: Unknown,
}

#[derive(Deserialize)]
struct Unknown {
    #[serde(default)]
    unk_token: Option<String>,
    #[serde(default)]
    unk_id: Option<u32>,
}

impl Vocabulary {
    pub(super) fn of(config: &EncoderConfig, tokenizer: &SentenceTokenizer) -> Result<Vocabulary> {
        let file: File = serde_json::from_slice(tokenizer.json())
            .map_err(|error| Error::Tokenizer { path: tokenizer.path().to_owned(), reason: error.to_string() })?;
        let unknown = file.model.unk_id.or_else(|| tokenizer.id_of(file.model.unk_token.as_deref()?));
        let rows = u32::try_from(config.vocab_size).unwrap_or(u32::MAX);
        let words = tokenizer.words().into_iter().filter(|id| *id < rows && Some(*id) != unknown).collect();
        // The special tokens of any text: those of an empty one could all stand together.
        let sample = tokenizer.locate(TextInput::new("a"))?;
        let first = sample.origins.iter().position(Option::is_some);
        let last = sample.origins.iter().rposition(Option::is_some);
        let (first, last) = match first.zip(last) {
            Some((first, last)) => (first, last + 1),
            None => (sample.ids.len().div_ceil(2), sample.ids.len().div_ceil(2)),
        };
        let inside = |ids: &[u32]| ids.iter().copied().filter(|id| *id < rows).collect();
        Ok(Vocabulary {
            rows,
            unknown,
            words,
            before: inside(&sample.ids[..first]),
            after: inside(&sample.ids[last..]),
        })
    }

    /// Whether most of a text is in the vocabulary, and all of it in the table of embeddings. The empty text is.
    pub(super) fn knows(&self, tokens: &TokenizedText) -> bool {
        if tokens.ids.iter().any(|id| *id >= self.rows) {
            return false;
        }
        let of_text = tokens.ids.iter().zip(&tokens.origins).filter(|(_, origin)| origin.is_some()).map(|(id, _)| *id);
        let (unknown, all) =
            of_text.fold((0, 0), |(unknown, all), id| (unknown + usize::from(Some(id) == self.unknown), all + 1));
        UNKNOWN_IN * unknown <= all
    }

    /// The different words of some sequences.
    pub(super) fn seen(&self, sequences: &[TokenizedText]) -> BTreeSet<u32> {
        let words: BTreeSet<u32> = self.words.iter().copied().collect();
        sequences.iter().flat_map(|tokens| &tokens.ids).copied().filter(|id| words.contains(id)).collect()
    }
}
