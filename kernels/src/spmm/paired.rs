//! Streams whose products of two input features fit 16 bits, for `vpmaddubsw`.
//!
//! `vpmaddubsw` adds two products u8 x s8 and saturates the sum to s16. The sum fits if weights of equal sign are together at most 128:
//! 255 x 128 < 2^15; weights of unequal signs always fit. So the input features of a row block are put in pairs that fit for all four
//! outputs. A feature that fits no other is stored twice, with half of each weight, and is a pair of its own. What is computed is the
//! same, exactly, in hardly more groups.
//!
//! Codes of seven bits give sums of at most 127 x 128, and two of them fit 16 bits together. So kernels add the sums of two groups before
//! they widen them.
//!
//! The stream of a packed file stays as it is. This one is made from it when weights are packed or loaded.

use super::plan::{GROUP_WEIGHT_BYTES, ROW_BLOCK, SpmmPlan};
use super::row_block::RowBlock;
use super::stream::OVERREAD;
use crate::{Buffer, SharedSlice};

/// Largest sum of two weights of equal sign.
const LARGEST_SUM: i32 = 128;
/// Features that are tried as a partner. It bounds the time for large K.
const CANDIDATES: usize = 256;

/// A stream of pairs: as that of [`super::SpmmWeights`], features 0 and 1 of a group are a pair, and 2 and 3.
#[derive(Debug, Clone)]
pub(super) struct Paired {
    pub(super) indices: SharedSlice<u8>,
    pub(super) weights: SharedSlice<u8>,
    pub(super) rows: Vec<RowBlock>,
    /// Stored groups before each row block, and the total at the end.
    pub(super) group_offsets: Vec<usize>,
}

/// An input feature with its weights of four outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Feature {
    /// As the stream stores it: times 8.
    index: usize,
    weights: [i8; ROW_BLOCK],
}

impl Feature {
    fn largest(&self) -> u8 {
        self.weights.iter().map(|w| w.unsigned_abs()).max().unwrap_or(0)
    }

    fn fits(&self, other: &Feature) -> bool {
        self.weights.iter().zip(&other.weights).all(|(&a, &b)| {
            let (a, b) = (i32::from(a), i32::from(b));
            (a < 0) != (b < 0) || a.abs() + b.abs() <= LARGEST_SUM
        })
    }

    /// Two that are together this one and fit each other.
    fn halves(self) -> [Feature; 2] {
        let half = self.weights.map(|w| w / 2);
        let rest = std::array::from_fn(|m| self.weights[m] - half[m]);
        [Feature { weights: half, ..self }, Feature { weights: rest, ..self }]
    }
}

impl Paired {
    /// The pairs of the stream of `groups(row block)`, each group four indices and the weights of four outputs.
    pub(super) fn new(
        plan: &SpmmPlan,
        rows: &[RowBlock],
        group_offsets: &[usize],
        indices: impl Fn(usize) -> [usize; 4],
        weights: impl Fn(usize) -> [[i8; 4]; ROW_BLOCK],
    ) -> Paired {
        let lists: Vec<Vec<[Feature; 2]>> = rows
            .iter()
            .zip(group_offsets)
            .map(|(row, &first)| {
                let groups = first..first + row.groups as usize;
                let features = groups.flat_map(|group| {
                    let (indices, weights) = (indices(group), weights(group));
                    std::array::from_fn::<_, 4, _>(|i| Feature { index: indices[i], weights: weights.map(|w| w[i]) })
                });
                pairs(features.filter(|feature| feature.weights != [0; ROW_BLOCK]).collect())
            })
            .collect();
        let groups = |list: &[[Feature; 2]]| list.len().div_ceil(2);
        let stored = |list: &[[Feature; 2]]| groups(list).next_multiple_of(plan.stored_multiple());
        let all: usize = lists.iter().map(|list| stored(list)).sum();
        let mut indices = Buffer::new(all * plan.group_index_bytes() + OVERREAD);
        let mut weights = Buffer::new(all * GROUP_WEIGHT_BYTES + OVERREAD);
        let mut paired = Vec::with_capacity(rows.len());
        let mut offsets = vec![0];
        let mut end = 0;
        for (row, list) in rows.iter().zip(&lists) {
            for (place, feature) in list.as_flattened().iter().enumerate() {
                let (group, i, width) = (end + place / 4, place % 4, plan.index().bytes());
                let at = group * plan.group_index_bytes() + i * width;
                indices[at..at + width].copy_from_slice(&(feature.index as u32).to_le_bytes()[..width]);
                for (m, &weight) in feature.weights.iter().enumerate() {
                    weights[group * GROUP_WEIGHT_BYTES + 4 * m + i] = weight as u8;
                }
            }
            paired.push(RowBlock { groups: groups(list) as u32, ..*row });
            end += stored(list);
            offsets.push(end);
        }
        Paired { indices: indices.into(), weights: weights.into(), rows: paired, group_offsets: offsets }
    }

    /// Bytes of it.
    pub(super) fn bytes(&self) -> usize {
        self.indices.len() + self.weights.len() + size_of_val(&self.rows[..])
    }
}

/// All of `features` in pairs that fit: each, from the largest on, with the largest that fits it.
fn pairs(mut features: Vec<Feature>) -> Vec<[Feature; 2]> {
    features.sort_by_key(Feature::largest); // the largest last
    let mut pairs = Vec::with_capacity(features.len().div_ceil(2));
    while let Some(feature) = features.pop() {
        let partner = features.iter().rev().take(CANDIDATES).position(|other| feature.fits(other));
        pairs.push(match partner {
            Some(back) => [feature, features.remove(features.len() - 1 - back)],
            None => feature.halves(),
        });
    }
    pairs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::prelude::*;

    use super::*;

    fn sum(features: impl IntoIterator<Item = Feature>) -> Vec<(usize, [i32; ROW_BLOCK])> {
        let mut sums = std::collections::BTreeMap::<usize, [i32; ROW_BLOCK]>::new();
        for Feature { index, weights } in features {
            let sum = sums.entry(index).or_default();
            sum.iter_mut().zip(weights).for_each(|(sum, w)| *sum += i32::from(w));
        }
        sums.into_iter().collect()
    }

    proptest! {
        #[test]
        fn pairs_fit_and_are_the_weights(all in prop::collection::vec(any::<[i8; ROW_BLOCK]>(), 0..60)) {
            let features: Vec<Feature> =
                all.iter().enumerate().map(|(i, &weights)| Feature { index: 8 * i, weights }).collect();
            let pairs = pairs(features.clone());
            for [a, b] in &pairs {
                for (&a, &b) in a.weights.iter().zip(&b.weights) {
                    for (x, y) in [(255, 255), (255, 0), (0, 255)] {
                        let sum = x * i32::from(a) + y * i32::from(b);
                        prop_assert!(i16::try_from(sum).is_ok(), "{a} and {b}: {sum}");
                    }
                }
            }
            prop_assert_eq!(sum(pairs.into_iter().flatten()), sum(features));
        }
    }

    /// Weights below a half of the largest need no more room.
    #[test]
    fn small_weights_are_not_split() {
        let features: Vec<Feature> = (0..40).map(|i| Feature { index: 8 * i, weights: [64, -64, 3, 0] }).collect();
        assert_eq!(pairs(features).len(), 20);
    }

    /// Random weights of the whole range, more than trained ones have near its ends.
    #[test]
    fn few_features_are_halved() {
        let mut rng = StdRng::seed_from_u64(1);
        for (count, most) in [(38, 1.03), (154, 1.005), (768, 1.005)] {
            let mut all = 0;
            for _ in 0..20 {
                let weights = || std::array::from_fn(|_| rng.random_range(-127..=127));
                let features = std::iter::repeat_with(weights).take(count).enumerate();
                all += pairs(features.map(|(i, weights)| Feature { index: 8 * i, weights }).collect()).len();
            }
            let ratio = all as f64 / (20 * count / 2) as f64;
            assert!(ratio <= most, "{count} features: {ratio} times as many pairs");
        }
    }

    #[test]
    fn a_feature_that_fits_none_is_halved() {
        let feature = |index| Feature { index, weights: [-128, 127, 127, -128] };
        let pairs = pairs(vec![feature(0), feature(8)]);
        assert_eq!(pairs.len(), 2);
        assert_eq!(pairs[0][0].index, pairs[0][1].index);
    }
}
