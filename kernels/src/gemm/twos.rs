//! Steps of a dense product in twos, for codes of seven bits and AVX2 without VNNI.
//!
//! A step is four input features. `vpmaddubsw` adds two of their products, and the sums of two steps are added in 16 bits. That is exact if
//! the four weights of each sum are together at most 258 where they are positive, and at least -258 where they are negative: 127 x 258 < 2^15.
//! So the steps of a row block are put in twos that fit for all four outputs. Two of trained weights nearly always fit. A step
//! that fits none is a two with zeros.
//!
//! The weights of a packed file stay as they are. The twos are made from them when weights are packed or loaded.

use bytemuck::{Pod, Zeroable};

use super::plan::{GemmPlan, ROW_BLOCK};

/// Most that the weights of equal sign of one sum may be together.
const LARGEST_SUM: i32 = 258;
/// Steps that wait for a partner. Few keep the steps nearly in order, and X is read so.
const WAITING: usize = 16;

/// Weights of a step: four outputs, four input features.
type StepWeights = [[i8; 4]; ROW_BLOCK];

/// Two steps of a row block, as the kernel reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Two {
    /// Where the four input features of each are in a tile of X, in bytes.
    pub(super) x: [u32; 2],
    pub(super) weights: [StepWeights; 2],
}

/// The twos of all row blocks.
#[derive(Debug, Clone)]
pub(super) struct Twos {
    /// Row block by row block.
    pub(super) all: Vec<Two>,
    /// How many each row block has, 1 at least.
    pub(super) counts: Vec<u32>,
    /// The first of each row block.
    pub(super) first: Vec<usize>,
}

impl Twos {
    /// The twos of weights that `step` gives, of a row block and a step.
    pub(super) fn new(plan: &GemmPlan, step: impl Fn(usize, usize) -> StepWeights) -> Twos {
        let mut twos = Twos { all: Vec::new(), counts: Vec::new(), first: Vec::new() };
        for row_block in 0..plan.row_blocks() {
            twos.first.push(twos.all.len());
            twos.all.extend(in_twos((0..plan.steps()).map(|i| step(row_block, i))));
            twos.counts.push((twos.all.len() - twos.first[row_block]) as u32);
        }
        twos
    }

    /// Bytes of them.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.all[..]) + size_of_val(&self.counts[..])
    }
}

/// Steps in twos that fit, each with the first that fits it of those that wait.
fn in_twos(steps: impl Iterator<Item = StepWeights>) -> Vec<Two> {
    /// Bytes of four input features of a tile.
    const X_STEP: u32 = 4 * crate::TILE as u32;
    let mut twos = Vec::new();
    let mut waiting: Vec<(u32, StepWeights)> = Vec::with_capacity(WAITING);
    let two = |(a, a_weights), (b, b_weights)| Two { x: [a * X_STEP, b * X_STEP], weights: [a_weights, b_weights] };
    let alone = |step: (u32, StepWeights)| two(step, (step.0, StepWeights::default()));
    for step in (0..).zip(steps) {
        match waiting.iter().position(|(_, other)| fits(other, &step.1)) {
            Some(i) => twos.push(two(waiting.remove(i), step)),
            None => {
                if waiting.len() == WAITING {
                    twos.push(alone(waiting.remove(0)));
                }
                waiting.push(step);
            }
        }
    }
    twos.extend(waiting.into_iter().map(alone));
    twos
}

/// Whether the sums of two steps fit 16 bits together.
fn fits(a: &StepWeights, b: &StepWeights) -> bool {
    a.iter().zip(b).all(|(a, b)| {
        [[a[0], a[1], b[0], b[1]], [a[2], a[3], b[2], b[3]]].iter().all(|sum| {
            let of = |sign: i32| -> i32 { sum.iter().map(|&w| (sign * i32::from(w)).max(0)).sum() };
            of(1) <= LARGEST_SUM && of(-1) <= LARGEST_SUM
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ActivationBits;

    proptest! {
        #[test]
        fn twos_fit_and_are_the_weights(steps in prop::collection::vec(any::<StepWeights>(), 0..60)) {
            let twos = in_twos(steps.iter().copied());
            let code = i32::from(ActivationBits::Seven.largest());
            let mut found = vec![StepWeights::default(); steps.len()];
            for Two { x, weights } in &twos {
                for m in 0..ROW_BLOCK {
                    for slot in [0, 2] {
                        let four = weights.iter().flat_map(|w| [w[m][slot], w[m][slot + 1]]).map(i32::from);
                        // The largest and the least that codes can make of them.
                        for sign in [1, -1] {
                            let sum: i32 = four.clone().filter(|w| w * sign > 0).map(|w| code * w).sum();
                            prop_assert!(i16::try_from(sum).is_ok(), "{weights:?}: {sum}");
                        }
                    }
                }
                for (&x, weights) in x.iter().zip(weights) {
                    let into = &mut found[x as usize / 256];
                    for (into, weights) in into.as_flattened_mut().iter_mut().zip(weights.as_flattened()) {
                        *into += weights; // one of the two is 0
                    }
                }
            }
            prop_assert_eq!(found, steps);
        }
    }

    #[test]
    fn steps_of_small_weights_are_all_in_twos() {
        assert_eq!(in_twos((0..40).map(|_| [[64, -64, 64, -64]; ROW_BLOCK])).len(), 20);
        assert_eq!(in_twos((0..41).map(|_| [[64, 64, -64, -64]; ROW_BLOCK])).len(), 21);
        assert_eq!(in_twos((0..40).map(|_| [[127; 4]; ROW_BLOCK])).len(), 40, "none fits another");
    }
}
