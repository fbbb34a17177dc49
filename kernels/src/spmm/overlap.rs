//! Row blocks of unstructured zeros: outputs whose input features coincide.
//!
//! A row block stores every input feature that at least one of its four outputs has. The fewer different features they have, the fewer zeros are
//! stored. The search is greedy: the longest remaining output starts a row block. Then, three times, the output joins that coincides most
//! with it.

use super::plan::ROW_BLOCK;
use crate::layout::padded;
use crate::rows::with_fma;

/// The number of outputs that a row block chooses from, the longest remaining ones. It bounds the time for large M.
const CANDIDATES: usize = 1024;

/// The outputs of every row block of a row-major matrix `[..][k]`.
pub(super) fn row_blocks(weights: &[i8], k: usize) -> Vec<[usize; ROW_BLOCK]> {
    let (rows, row_blocks) = (&Rows::of(weights, k), &mut Vec::new());
    with_fma!(greedy, rows: &Rows, row_blocks: &mut Vec<[usize; ROW_BLOCK]>);
    std::mem::take(row_blocks)
}

/// Which input features each output has.
struct Rows {
    words: usize,
    /// `[output][words]`, one bit per input feature.
    bits: Vec<u64>,
    /// Features of each output.
    lengths: Vec<u32>,
}

impl Rows {
    /// Outputs are padded with empty ones to whole row blocks.
    fn of(weights: &[i8], k: usize) -> Rows {
        let words = k.div_ceil(64);
        let mut rows = Rows { words, bits: vec![0; padded(weights.len() / k) * words], lengths: Vec::new() };
        for (bits, row) in rows.bits.chunks_exact_mut(words).zip(weights.chunks_exact(k)) {
            for (word, weights) in bits.iter_mut().zip(row.chunks(64)) {
                *word = weights.iter().rev().fold(0, |word, &w| word << 1 | u64::from(w != 0));
            }
        }
        rows.lengths = rows.bits.chunks_exact(words).map(|row| row.iter().map(|w| w.count_ones()).sum()).collect();
        rows
    }

    fn bits(&self, output: usize) -> &[u64] {
        &self.bits[output * self.words..][..self.words]
    }
}

#[inline(always)]
fn greedy(rows: &Rows, row_blocks: &mut Vec<[usize; ROW_BLOCK]>) {
    let mut left: Vec<usize> = (0..rows.lengths.len()).collect();
    left.sort_by_key(|&output| rows.lengths[output]); // the longest last
    while let Some(first) = left.pop() {
        let mut row_block = [first; ROW_BLOCK];
        let mut features = rows.bits(first).to_vec();
        for place in &mut row_block[1..] {
            let candidates = left.len().saturating_sub(CANDIDATES)..left.len();
            *place = left.remove(best(rows, &features, &left, candidates));
            features.iter_mut().zip(rows.bits(*place)).for_each(|(all, &new)| *all |= new);
        }
        row_blocks.push(row_block);
    }
}

/// The place in `left` of the output that coincides most with `features`: with the largest cosine of the angle between the two
/// as vectors of zeros and ones, so that of two outputs that share equally many the shorter one is taken.
#[inline(always)]
fn best(rows: &Rows, features: &[u64], left: &[usize], candidates: std::ops::Range<usize>) -> usize {
    let mut best = (candidates.start, -1.0);
    for place in candidates.rev() {
        let shared: u32 = features.iter().zip(rows.bits(left[place])).map(|(a, b)| (a & b).count_ones()).sum();
        let shared = shared as f32;
        let cosine = shared * shared / rows.lengths[left[place]].max(1) as f32;
        if cosine > best.1 {
            best = (place, cosine);
        }
    }
    best.0
}
