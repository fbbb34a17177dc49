//! Masks in texts, and texts with a token in the place of a mask.

use std::ops::Range;

use tokenizers::{AddedToken, ModelWrapper};

use super::SentenceTokenizer;
use super::beside::is_called_mask;
use crate::error::Result;

/// A token that marks a place to fill in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskToken {
    /// Its row in the table of word embeddings.
    pub id: u32,
    /// How it is written in texts: `[MASK]`, `<mask>`.
    pub text: String,
    /// Whether it takes in the blanks before it.
    pub takes_blanks: bool,
}

impl SentenceTokenizer {
    /// The token that marks a place to fill in.
    ///
    /// It is the token that `tokenizer_config.json` names as `mask_token`. Without that it is the special token that `tokenizer.json` calls "mask" in any brackets: `[MASK]`, `<mask>`, `<|mask|>`. Of several it is
    /// `usual`, the one that the architecture usually has, or else the first. A tokenizer without one has `usual` if that is in its
    /// vocabulary.
    pub fn mask_token(&self, usual: &str) -> Option<MaskToken> {
        let added = self.tokenizer.get_added_tokens_decoder();
        let is_mask = |token: &AddedToken| match &self.mask {
            Some(named) => token.content == *named,
            None => token.special && is_called_mask(&token.content),
        };
        let mut masks: Vec<(&u32, &AddedToken)> = added.iter().filter(|(_, token)| is_mask(token)).collect();
        masks.sort_by_key(|(id, token)| (token.content != usual, **id));
        let found = masks.first().map(|(id, token)| MaskToken {
            id: **id,
            text: token.content.clone(),
            takes_blanks: token.lstrip,
        });
        found.or_else(|| Some(MaskToken { id: self.id_of(usual)?, text: usual.to_owned(), takes_blanks: false }))
    }

    /// The text with a token in the place of a mask.
    ///
    /// Blanks are those of the text, with two exceptions. A token that continues a word (`##ing`; with a mask that takes the blanks
    /// before it also a token without the mark of a word's beginning) follows the text before the mask without a blank. A token that
    /// begins a word gets a blank before it where the text has none.
    ///
    /// # Errors
    /// [`Error::Tokenizer`](crate::Error::Tokenizer).
    pub fn filled(&self, text: &str, bytes: Range<usize>, mask: &MaskToken, id: u32) -> Result<String> {
        let token = self.tokenizer.id_to_token(id).unwrap_or_default();
        let decoded = self.text_of(id)?;
        let prefix = match self.tokenizer.get_model() {
            ModelWrapper::WordPiece(model) => Some(model.continuing_subword_prefix.as_str()),
            ModelWrapper::BPE(model) => model.continuing_subword_prefix.as_deref(),
            _ => None,
        };
        let prefix = prefix.filter(|prefix| !prefix.is_empty());
        // Tokens of these say themselves whether a word begins with them.
        let is_marked = match self.tokenizer.get_model() {
            ModelWrapper::Unigram(_) => true,
            ModelWrapper::BPE(model) => prefix.is_none() && model.end_of_word_suffix.is_none(),
            _ => false,
        };
        let begins = is_marked && (token.starts_with('\u{2581}') || decoded.starts_with(char::is_whitespace));
        let rest = prefix.and_then(|prefix| token.strip_prefix(prefix));
        let before = text.get(..bytes.start).unwrap_or_default();
        let after = text.get(bytes.end..).unwrap_or_default();
        let decoded = decoded.trim_start();
        Ok(match rest {
            Some(rest) => format!("{}{rest}{after}", before.trim_end()),
            None if is_marked && !begins && mask.takes_blanks => format!("{}{decoded}{after}", before.trim_end()),
            None if begins && !before.is_empty() && !before.ends_with(char::is_whitespace) => {
                format!("{before} {decoded}{after}")
            }
            None => format!("{before}{decoded}{after}"),
        })
    }
}
