//! The positions of the sequences of a batch, in the form that the kernel reads.

use super::desc::AttentionDesc;
use super::sizes::MAX_SHORT_GROUPS;
use crate::layout::{lane_position, padded};
use crate::{KernelError, LANES, TILE, VECTORS};

/// A run of tokens that attend to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sequence {
    /// First token; a multiple of 4.
    pub start: usize,
    /// Tokens, at least 1.
    pub len: usize,
}

impl Sequence {
    /// Sequences start at multiples of this many tokens, so that a dword of a plain panel belongs to one sequence.
    pub const ALIGNMENT: usize = 4;

    /// Packs sequences of the given lengths back to back; also returns the number of tokens they span.
    pub fn pack(lengths: impl IntoIterator<Item = usize>) -> (Vec<Sequence>, usize) {
        let mut start = 0;
        let mut tokens = 0;
        let sequences = lengths.into_iter().map(|len| {
            let sequence = Sequence { start, len };
            tokens = start + len;
            start = tokens.next_multiple_of(Self::ALIGNMENT);
            sequence
        });
        let sequences = sequences.collect();
        (sequences, tokens)
    }
}

/// Byte offsets of one group of four keys from a head's first row in the first tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct KeyGroup {
    /// In a VNNI panel.
    pub(super) k: u32,
    /// In a plain panel.
    pub(super) v: u32,
}

/// One to four vectors of 16 queries in one tile; more than one start at its first vector, two also at its third.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct QueryChunk {
    /// Byte offset in a VNNI panel.
    pub(super) q: u32,
    /// Byte offset in the output panel.
    pub(super) out: u32,
    /// 1 to 4; 1 in a short sequence.
    pub(super) vectors: u32,
    /// Bit `4 l + v`: whether that dword of a plain row belongs to the sequence.
    pub(super) dwords: u16,
    /// Byte offset of the first vector in a row of a plain panel.
    pub(super) column: u16,
    /// Bit t of element i: whether token t of the chunk's vector i belongs to the sequence (rounded up to 4 tokens).
    pub(super) tokens: [u16; VECTORS],
}

/// The tables of one sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SequenceTables {
    pub(super) sequence: Sequence,
    pub(super) keys: Vec<KeyGroup>,
    pub(super) queries: Vec<QueryChunk>,
    /// Added to the scores of the last group: [`MASKED`] for keys past the end.
    pub(super) last_group_bias: [i32; 4],
}

/// No score of a real key is larger, nor is what a key that does not exist would have without its mask.
const LARGEST_SCORE: i32 = AttentionDesc::MAX_HEAD_SIZE as i32 * 255 * 128;

/// Added to the score of a key that does not exist: as far below every real score as s32 allows. So its weight is 0 for every
/// [`Falloff`](crate::math::Falloff) with a multiplier of 1 or more: the distance from the largest score is at least
/// 2^31 - 2^26, which is 15.5 octaves. Heads with a multiplier of 0 take [`super::flat`].
pub(super) const MASKED: i32 = i32::MIN + (1 << 25);
const _: () = assert!(LARGEST_SCORE < 1 << 24);

/// Key groups up to which a chunk of a whole tile of queries keeps its scores within half of L1 (48 KiB); half the queries at a time
/// are faster beyond, by about 5 % at 128 to 384 keys and heads of 32.
const MAX_GROUPS_OF_WHOLE_TILES: usize = 24;

/// The sequences of a batch, prepared once and used by all heads of all layers of equal width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttentionBatch {
    pub(super) sequences: Vec<SequenceTables>,
    /// Tables that [`AttentionBatch::update`] has no sequences for, and will reuse.
    spare: Vec<SequenceTables>,
    pub(super) tokens: usize,
    pub(super) features: usize,
    pub(super) output: crate::PanelLayout,
}

impl AttentionBatch {
    /// Tables for `sequences` within `tokens` tokens of activations with `features` features, attention output in `output`.
    ///
    /// # Errors
    /// [`KernelError::Mismatch`] if a sequence is empty, starts at no multiple of 4, ends after `tokens` or overlaps the one
    /// before it; [`KernelError::Dimension`] if offsets would not fit 32 bits.
    pub fn new(
        sequences: &[Sequence],
        tokens: usize,
        features: usize,
        output: crate::PanelLayout,
    ) -> Result<AttentionBatch, KernelError> {
        let mut batch = AttentionBatch { sequences: Vec::new(), spare: Vec::new(), tokens: 0, features: 0, output };
        batch.update(sequences, tokens, features, output)?;
        Ok(batch)
    }

    /// Replaces the tables by those that [`AttentionBatch::new`] makes; allocates only for more or longer sequences than ever
    /// before.
    ///
    /// # Errors
    /// Those of [`AttentionBatch::new`]; the tables are unchanged then.
    pub fn update(
        &mut self,
        sequences: &[Sequence],
        tokens: usize,
        features: usize,
        output: crate::PanelLayout,
    ) -> Result<(), KernelError> {
        let bytes = crate::layout::elements(features, tokens);
        if u32::try_from(bytes).is_err() {
            return Err(KernelError::Dimension {
                kernel: "attention",
                dimension: "features x tokens",
                found: bytes,
                expected: "less than 2^32",
            });
        }
        let mut free = 0;
        for s in sequences {
            let end = s.start.saturating_add(s.len);
            if s.len == 0 || s.start % Sequence::ALIGNMENT != 0 || s.start < free || end > tokens {
                return Err(KernelError::Mismatch {
                    kernel: "attention".to_owned(),
                    found: format!("a sequence of {} tokens at {}", s.len, s.start),
                    expected: format!("1 or more tokens at a multiple of 4 between {free} and {tokens}"),
                });
            }
            free = end.next_multiple_of(Sequence::ALIGNMENT);
        }
        let tile_bytes = padded(features) * TILE;
        self.spare.extend(self.sequences.drain(sequences.len().min(self.sequences.len())..));
        for (i, &sequence) in sequences.iter().enumerate() {
            if i == self.sequences.len() {
                self.sequences.push(self.spare.pop().unwrap_or(SequenceTables::EMPTY));
            }
            self.sequences[i].fill(sequence, tile_bytes, output);
        }
        (self.tokens, self.features, self.output) = (tokens, features, output);
        Ok(())
    }

    /// The sequences.
    pub fn sequences(&self) -> impl ExactSizeIterator<Item = Sequence> + '_ {
        self.sequences.iter().map(|tables| tables.sequence)
    }

    /// Whether the tables serve activations of `features` features and this output layout.
    pub fn fits(&self, features: usize, output: crate::PanelLayout) -> bool {
        (self.features, self.output) == (features, output)
    }

    /// Tokens spanned, gaps between sequences included.
    pub fn tokens(&self) -> usize {
        self.tokens
    }
}

impl SequenceTables {
    const EMPTY: SequenceTables = SequenceTables {
        sequence: Sequence { start: 0, len: 0 },
        keys: Vec::new(),
        queries: Vec::new(),
        last_group_bias: [0; 4],
    };

    fn fill(&mut self, sequence: Sequence, tile_bytes: usize, output: crate::PanelLayout) {
        let SequenceTables { keys, queries, .. } = self;
        let Sequence { start, len } = sequence;
        let end = start + len;
        keys.clear();
        keys.extend((start..end).step_by(4).map(|token| {
            let tile = token / TILE * tile_bytes;
            KeyGroup { k: (tile + token % TILE * 4) as u32, v: (tile + lane_position(token % TILE)) as u32 }
        }));
        let beyond = len.next_multiple_of(4) - len;
        let last_group_bias = std::array::from_fn(|key| if key < 4 - beyond { 0 } else { MASKED });
        queries.clear();
        let mut vector = start / LANES;
        while vector * LANES < end {
            let in_tile = vector % VECTORS;
            let wanted = end.div_ceil(LANES).min((vector / VECTORS + 1) * VECTORS) - vector;
            let vectors = match (in_tile, wanted) {
                _ if keys.len() <= MAX_SHORT_GROUPS => 1,
                (0, VECTORS) if keys.len() > MAX_GROUPS_OF_WHOLE_TILES => 2,
                (0, _) => wanted,
                (2, 2) => 2,
                _ => 1,
            };
            queries.push(QueryChunk::new(vector, vectors, start..end.next_multiple_of(4), tile_bytes, output));
            vector += vectors;
        }
        (self.sequence, self.last_group_bias) = (sequence, last_group_bias);
    }
}

impl QueryChunk {
    fn new(
        first: usize,
        vectors: usize,
        owned: std::ops::Range<usize>,
        tile_bytes: usize,
        output: crate::PanelLayout,
    ) -> QueryChunk {
        let tile = first / VECTORS * tile_bytes;
        let within = first % VECTORS * LANES * 4;
        let mut tokens = [0u16; VECTORS];
        let mut dwords = 0u16;
        for (i, mask) in tokens.iter_mut().enumerate().take(vectors) {
            for lane in 0..LANES {
                let token = (first + i) * LANES + lane;
                if owned.contains(&token) {
                    *mask |= 1 << lane;
                    dwords |= 1 << (lane_position(token % TILE) / 4);
                }
            }
        }
        let out = match output {
            crate::PanelLayout::Plain => tile,
            crate::PanelLayout::Vnni => tile + within,
        };
        QueryChunk {
            q: (tile + within) as u32,
            out: out as u32,
            vectors: vectors as u32,
            dwords,
            column: lane_position(first % VECTORS * LANES) as u16,
            tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PanelLayout;

    #[test]
    fn chunks_cover_each_token_of_a_sequence_once() {
        for (start, len) in [(0, 1), (0, 64), (4, 60), (20, 100), (60, 9), (64, 128), (8, 40), (48, 16), (32, 33)] {
            let mut tables = SequenceTables::EMPTY;
            tables.fill(Sequence { start, len }, 4096, PanelLayout::Plain);
            let mut seen = vec![0; 512];
            for chunk in &tables.queries {
                let first = chunk.q as usize / 4096 * TILE + chunk.q as usize % 4096 / 4;
                for (i, mask) in chunk.tokens.iter().enumerate() {
                    (0..16).filter(|t| mask >> t & 1 == 1).for_each(|t| seen[first + i * 16 + t] += 1);
                }
            }
            let expected: Vec<i32> =
                (0..512).map(|t| i32::from((start..(start + len).next_multiple_of(4)).contains(&t))).collect();
            assert_eq!(seen, expected, "{start} {len}");
        }
    }

    /// Whatever the score of a real key and of the bytes behind the last one.
    #[test]
    fn masked_keys_have_no_weight_at_any_multiplier() {
        use crate::math::{Falloff, exp2_u8};
        let scales = (-30..5).flat_map(|e| [1.0f32, 1.2, 1.5, 1.9].map(|m| m * (e as f32).exp2()));
        for falloff in scales.map(Falloff::new).filter(|falloff| falloff.multiplier > 0) {
            for (max, beyond) in [(-1, 1), (1, -1), (1, 1), (-1, -1)] {
                let below = (max * LARGEST_SCORE).wrapping_sub(MASKED + beyond * LARGEST_SCORE) as u32;
                assert_eq!(exp2_u8(below, falloff), 0, "{falloff:?}");
            }
        }
    }

    #[test]
    fn an_updated_batch_is_a_new_one() {
        let batch = |lengths: &[usize]| {
            let (sequences, tokens) = Sequence::pack(lengths.iter().copied());
            (AttentionBatch::new(&sequences, tokens, 8, PanelLayout::Plain).unwrap(), sequences, tokens)
        };
        let (mut updated, ..) = batch(&[3]);
        for lengths in [&[5, 100, 1][..], &[7], &[64, 64], &[1, 2, 3, 4], &[]] {
            let (new, sequences, tokens) = batch(lengths);
            updated.update(&sequences, tokens, 8, PanelLayout::Plain).unwrap();
            assert_eq!((&updated.sequences, updated.tokens), (&new.sequences, new.tokens), "{lengths:?}");
            let bad = [Sequence { start: 1, len: 1 }];
            assert!(updated.update(&bad, 4, 8, PanelLayout::Vnni).is_err());
            assert_eq!((&updated.sequences, updated.output), (&new.sequences, new.output), "after an error");
        }
    }

    #[test]
    fn bad_sequences_are_refused() {
        let bad = |s: &[(usize, usize)]| {
            let s: Vec<_> = s.iter().map(|&(start, len)| Sequence { start, len }).collect();
            AttentionBatch::new(&s, 100, 8, PanelLayout::Plain).is_err()
        };
        assert!(
            bad(&[(0, 0)]) && bad(&[(2, 4)]) && bad(&[(0, 101)]) && bad(&[(0, 5), (4, 4)]) && bad(&[(8, 4), (0, 4)])
        );
        assert!(bad(&[(usize::MAX - 3, 8)]));
        assert!(!bad(&[(0, 5), (8, 92)]));
    }
}
