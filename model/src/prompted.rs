//! Texts with a prompt before them, as token ids.

use std::borrow::Cow;

use crate::error::Result;
use crate::tokenize::{Encoded, SentenceTokenizer, TextInput};

/// The tokens of texts with a prompt before each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptedTexts {
    /// One for each text.
    pub encoded: Vec<Encoded>,
    /// How many tokens at the beginning of each are the prompt, the special tokens before it included; 0 without a prompt.
    pub prompt_tokens: usize,
}

impl PromptedTexts {
    /// Tokenizes texts in parallel, with `prompt` before each; the order is kept.
    ///
    /// The tokens of the prompt are counted as sentence-transformers counts them: those of the prompt alone, without a special token at
    /// the end.
    ///
    /// # Errors
    /// Those of [`SentenceTokenizer::encode`].
    pub fn new<S: AsRef<str> + Sync>(
        tokenizer: &SentenceTokenizer,
        prompt: Option<&str>,
        texts: &[S],
    ) -> Result<PromptedTexts> {
        let Some(prompt) = prompt else {
            return Ok(PromptedTexts { encoded: tokenizer.encode_batch(texts)?, prompt_tokens: 0 });
        };
        let prompted: Vec<Cow<'_, str>> =
            texts.iter().map(|text| Cow::Owned(format!("{prompt}{}", text.as_ref()))).collect();
        let ends_special = matches!(tokenizer.locate(TextInput::new(prompt))?.origins.last(), Some(None));
        let tokens = tokenizer.encode(prompt)?.ids.len();
        let prompt_tokens = tokens.saturating_sub(usize::from(ends_special));
        Ok(PromptedTexts { encoded: tokenizer.encode_batch(&prompted)?, prompt_tokens })
    }
}
