//! Text to token ids: through `tokenizer.json`, or a vocabulary from which one is made.
//!
//! ```text
//! folder      which files there are, and what reads them
//! wordpiece   vocab.txt to the same as a tokenizer.json
//! byte_level  vocab.json and merges.txt to the same
//! special     special and added tokens that other files name
//! class       which kind of tokenizer a class of transformers is
//! beside      settings of other files beside a tokenizer.json
//! check       what a tokenizer.json may not say, and what is changed in it
//! costly      long texts that the library cannot take
//! library     the tokenizers library, with patterns that stop
//! barrier     a panic of the library becomes an error
//! tokenizer   texts to tokens
//! words       where a token stands in the text, and in which word
//! mask        masks in texts
//! pieces      tokens with their places in the text
//! ```

mod barrier;
mod beside;
mod budget;
mod byte_level;
mod check;
mod class;
mod costly;
mod folder;
mod library;
mod mask;
mod options;
mod pieces;
mod special;
mod tokenizer;
mod vocabulary;
mod wordpiece;
mod words;

use rayon::prelude::*;

use crate::config::EncoderConfig;
use crate::error::{Error, Result};

pub(crate) use self::folder::has_tokenizer;
#[cfg(feature = "hub")]
pub(crate) use self::folder::{TOKEN_FILES, VOCABULARY_FILES};
pub use self::mask::MaskToken;
pub use self::options::{BertNormalization, TokenizerOptions, TruncationSide};
pub use self::pieces::{TextInput, TokenOrigin, TokenizedText};
pub use self::tokenizer::{Encoded, SentenceTokenizer};

/// Tokenizes inputs in parallel. Nothing is cut; types are 0 where the model has no others.
///
/// # Errors
/// [`Error::NoTokenizer`] without a tokenizer; [`Error::Text`] for the first text that has an error, which
/// [`SentenceTokenizer::locate`] lists.
pub fn locate_all(
    config: &EncoderConfig,
    tokenizer: Option<&SentenceTokenizer>,
    inputs: &[TextInput<'_>],
) -> Result<Vec<TokenizedText>> {
    let tokenizer = tokenizer.ok_or(Error::NoTokenizer)?;
    let located = inputs.par_iter().enumerate().map(|(text, input)| {
        let tokens = tokenizer.locate(*input).map_err(|source| source.of_text(text))?;
        Ok(if config.type_vocab_size == 1 { tokens.untyped() } else { tokens })
    });
    // The first error of all, whichever thread meets one first.
    located.collect::<Vec<_>>().into_iter().collect()
}
