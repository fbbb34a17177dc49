//! Sequences of a model's own tokens, where the collection shows too little of its vocabulary.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::select::Vocabulary;
use crate::tokenize::TokenizedText;

/// The seed of all draws: the same model always gets the same sequences.
const SEED: u64 = 0x1ac_000a;
/// Different words that calibration should see, of vocabularies that have so many.
const ENOUGH_WORDS: usize = 1000;
/// Tokens that calibration should see.
const ENOUGH_TOKENS: usize = 2000;
/// Lengths of the sequences, special tokens not counted, in turn.
const LENGTHS: [usize; 8] = [1, 3, 6, 10, 16, 24, 48, 120];

/// Sequences for what is missing: enough tokens, and enough different ones.
pub(super) fn missing(vocabulary: &Vocabulary, sequences: &[TokenizedText], max_length: usize) -> Vec<TokenizedText> {
    let Vocabulary { words, before, after, .. } = vocabulary;
    let room = max_length.saturating_sub(before.len() + after.len());
    if words.is_empty() || room == 0 {
        return vec![];
    }
    let seen = vocabulary.seen(sequences);
    let expected = ENOUGH_WORDS.min(words.len());
    let tokens: usize = sequences.iter().map(|tokens| tokens.ids.len()).sum();
    // Of a small vocabulary every word is drawn, most often all of them in every round.
    let mut needed = ENOUGH_TOKENS.saturating_sub(tokens);
    if seen.len() < expected {
        needed = needed.max(expected);
    }
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let (mut drawn, mut pool) = (Vec::new(), Vec::new());
    for length in LENGTHS.into_iter().cycle() {
        if needed == 0 {
            break;
        }
        let length = length.min(room);
        if pool.len() < length {
            let mut round = words.clone();
            round.shuffle(&mut random);
            pool.append(&mut round);
            while pool.len() < length {
                pool.extend_from_within(..words.len());
            }
        }
        let ids: Vec<u32> = before.iter().copied().chain(pool.drain(..length)).chain(after.iter().copied()).collect();
        needed = needed.saturating_sub(length);
        drawn.push(TokenizedText::without_text(ids));
    }
    drawn
}
