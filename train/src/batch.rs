//! Sequences of tokens that go through the encoder together.

use std::ops::Range;

use lacuna_model::{EncoderConfig, TokenIds, check_tokens};

use crate::Result;

/// Sequences of token ids, packed back to back without padding.
///
/// # Layout
/// Token t of sequence s is column `ranges()[s].start + t` of every activation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    ids: Vec<u32>,
    types: Vec<u32>,
    ranges: Vec<Range<usize>>,
}

impl Batch {
    /// Packs sequences after a check against the limits of a model.
    ///
    /// # Errors
    /// Those of [`check_tokens`]: an empty batch, an empty or too long sequence, an id or a type that the tables do not have.
    pub fn new<S: TokenIds>(config: &EncoderConfig, sequences: &[S]) -> Result<Batch> {
        check_tokens(config, sequences)?;
        let mut batch = Batch { ids: Vec::new(), types: Vec::new(), ranges: Vec::with_capacity(sequences.len()) };
        for sequence in sequences {
            let (ids, start) = (sequence.ids(), batch.ids.len());
            batch.ids.extend_from_slice(ids);
            match sequence.types() {
                Some(types) => batch.types.extend_from_slice(types),
                None => batch.types.resize(batch.ids.len(), 0),
            }
            batch.ranges.push(start..batch.ids.len());
        }
        Ok(batch)
    }

    /// The number of tokens of all sequences.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// The number of sequences.
    pub fn sequences(&self) -> usize {
        self.ranges.len()
    }

    /// The columns of each sequence, in order and without gaps.
    pub fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    /// The token ids of all sequences.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The token types of all sequences.
    pub fn types(&self) -> &[u32] {
        &self.types
    }

    /// The position of each token in its sequence.
    pub fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        self.ranges.iter().flat_map(|range| 0..range.len())
    }

    /// The length of the longest sequence, in tokens.
    pub fn longest(&self) -> usize {
        self.ranges.iter().map(Range::len).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lacuna_model::{Preset, TypedIds};

    #[test]
    fn sequences_are_packed_without_gaps() {
        let config = Preset::BertMini.config();
        let batch = Batch::new(&config, &[vec![1, 2, 3], vec![4]]).unwrap();
        assert_eq!(batch.ids(), [1, 2, 3, 4]);
        assert_eq!(batch.ranges(), [0..3, 3..4]);
        assert_eq!(batch.positions().collect::<Vec<_>>(), [0, 1, 2, 0]);
        let typed = Batch::new(&config, &[TypedIds { ids: &[1, 2], types: &[0, 1] }]).unwrap();
        assert_eq!(typed.types(), [0, 1]);
    }

    #[test]
    fn sequences_that_the_model_cannot_take_are_errors() {
        let config = Preset::BertMini.config();
        assert!(Batch::new::<Vec<u32>>(&config, &[]).is_err());
        assert!(Batch::new(&config, &[Vec::<u32>::new()]).is_err());
        assert!(Batch::new(&config, &[vec![0; 513]]).is_err());
        assert!(Batch::new(&config, &[vec![u32::MAX]]).is_err());
    }
}
