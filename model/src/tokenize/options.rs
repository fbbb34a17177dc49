//! Settings of a tokenizer that other files give.

use std::path::PathBuf;

/// What other files than those of the tokenizer say about it.
///
/// All of it but [`TokenizerOptions::max_length`] becomes a part of [`SentenceTokenizer::json`](crate::SentenceTokenizer::json), so
/// that a stored tokenizer keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenizerOptions {
    /// The longest sequence in tokens, special tokens included.
    pub max_length: usize,
    /// The file that gave `max_length`, for messages.
    pub max_length_file: Option<PathBuf>,
    /// Whether texts become lower case before everything else, as `do_lower_case` of `sentence_bert_config.json` says.
    pub lower_case: bool,
    /// Which end of a long text is cut; `None` leaves it to `tokenizer.json`.
    pub truncation_side: Option<TruncationSide>,
    /// What replaces the settings of a `BertNormalizer`.
    pub bert: BertNormalization,
}

impl TokenizerOptions {
    /// Sequences of at most so many tokens, and nothing else that differs from the tokenizer's files.
    pub fn new(max_length: usize) -> TokenizerOptions {
        TokenizerOptions { max_length, ..TokenizerOptions::default() }
    }
}

/// Settings of `tokenizer_config.json` for BERT's normalizer; `None` leaves one as it is in `tokenizer.json`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BertNormalization {
    /// `do_lower_case`.
    pub lower_case: Option<bool>,
    /// `strip_accents`; the inner `None` strips them if letters become lower case.
    pub strip_accents: Option<Option<bool>>,
    /// `tokenize_chinese_chars`.
    pub chinese_characters: Option<bool>,
}

/// Which end of a text is cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum TruncationSide {
    /// The end: the first tokens are kept.
    #[default]
    Right,
    /// The start: the last tokens are kept.
    Left,
}
