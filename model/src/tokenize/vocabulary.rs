//! The vocabulary of a tokenizer.

use std::path::Path;

use super::SentenceTokenizer;

/// How the names of places begin that a vocabulary keeps free.
const UNUSED: [&str; 2] = ["[unused", "<unused"];

impl SentenceTokenizer {
    /// The file it was read from.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Every token that can stand in a text, sorted: all but special tokens and those that a vocabulary keeps free.
    pub(crate) fn words(&self) -> Vec<u32> {
        let added = self.tokenizer.get_added_tokens_decoder();
        let is_special = |id: &u32| added.get(id).is_some_and(|token| token.special);
        let is_unused = |token: &str| UNUSED.iter().any(|unused| token.starts_with(unused));
        let vocabulary = self.tokenizer.get_vocab(true).into_iter();
        let mut words: Vec<u32> =
            vocabulary.filter(|(token, id)| !is_special(id) && !is_unused(token)).map(|(_, id)| id).collect();
        words.sort_unstable();
        words
    }
}
