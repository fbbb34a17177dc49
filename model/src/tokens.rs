//! What a model is given: token ids, and the type of every token where it is not 0.

use crate::config::EncoderConfig;
use crate::error::{Error, Result};

/// One sequence of token ids, special tokens included, without padding.
///
/// Anything that is a slice of `u32` is one, with type 0 for every token; [`TypedIds`] says other types.
pub trait TokenIds: Sync {
    /// Rows of the word embedding table.
    fn ids(&self) -> &[u32];

    /// Rows of the token type embedding table, as many as there are ids; `None` is row 0 for all of them.
    fn types(&self) -> Option<&[u32]>;
}

impl<S: AsRef<[u32]> + Sync + ?Sized> TokenIds for S {
    fn ids(&self) -> &[u32] {
        self.as_ref()
    }

    fn types(&self) -> Option<&[u32]> {
        None
    }
}

/// Token ids with the type of every token: in a pair of texts 0 for the first and 1 for the second.
///
/// ```
/// # fn main() -> lacuna_model::Result<()> {
/// use lacuna_model::{EncoderConfig, Model, Preset, TypedIds};
///
/// let model = Model::seeded(EncoderConfig { vocab_size: 100, ..Preset::BertMini.config() }, 1)?;
/// let pair = TypedIds { ids: &[2, 17, 18, 3, 40, 41, 3], types: &[0, 0, 0, 0, 1, 1, 1] };
/// assert_eq!(model.reference().forward(&[pair])?[0].rows, 7);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypedIds<'a> {
    /// Rows of the word embedding table.
    pub ids: &'a [u32],
    /// Rows of the token type embedding table, as many.
    pub types: &'a [u32],
}

impl TokenIds for TypedIds<'_> {
    fn ids(&self) -> &[u32] {
        self.ids
    }

    fn types(&self) -> Option<&[u32]> {
        Some(self.types)
    }
}

/// Checks a batch against the limits of a model.
pub fn check_tokens<S: TokenIds>(config: &EncoderConfig, batch: &[S]) -> Result<()> {
    if batch.is_empty() {
        return Err(Error::EmptyBatch);
    }
    for (sequence, tokens) in batch.iter().enumerate() {
        let ids = tokens.ids();
        if ids.is_empty() {
            return Err(Error::EmptySequence { sequence });
        }
        if ids.len() > config.max_position {
            let (found, limit) = (ids.len(), config.max_position);
            return Err(Error::SequenceTooLong { sequence, found, limit });
        }
        if let Some((position, found)) = first_outside(ids, config.vocab_size) {
            return Err(Error::TokenOutOfRange { sequence, position, found, vocab_size: config.vocab_size });
        }
        if let Some(types) = tokens.types() {
            check_types(config, sequence, ids, types)?;
        }
    }
    Ok(())
}

fn check_types(config: &EncoderConfig, sequence: usize, ids: &[u32], types: &[u32]) -> Result<()> {
    if types.len() != ids.len() {
        return Err(Error::TokenTypeLength { sequence, found: types.len(), expected: ids.len() });
    }
    match first_outside(types, config.type_vocab_size) {
        None => Ok(()),
        Some((position, found)) => {
            Err(Error::TokenTypeOutOfRange { sequence, position, found, type_vocab_size: config.type_vocab_size })
        }
    }
}

fn first_outside(rows: &[u32], table: usize) -> Option<(usize, u32)> {
    rows.iter().copied().enumerate().find(|&(_, row)| row as usize >= table)
}
