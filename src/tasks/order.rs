//! The order of results: the best first, by their logits.
//!
//! Logits keep an order where scores do not: a sigmoid or a softmax of f32 is 1.0 for every logit that is large enough.

use std::cmp::Ordering;

use crate::error::{Error, Result};

/// The larger first; what is not a number is last.
pub(super) fn descending(a: f32, b: f32) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => b.partial_cmp(&a).unwrap_or(Ordering::Equal),
        (a, b) => a.cmp(&b),
    }
}

/// Sorts by logits, the best first. What has the same logit keeps its order.
pub(super) fn sort_by_logit<T>(all: &mut [T], logit: impl Fn(&T) -> f32) {
    all.sort_by(|a, b| descending(logit(a), logit(b)));
}

/// The first of the largest.
pub(super) fn largest(values: &[f32]) -> (usize, f32) {
    let better = |best: (usize, f32), (i, &value): (usize, &f32)| match descending(value, best.1) {
        Ordering::Less => (i, value),
        _ => best,
    };
    values.iter().enumerate().skip(1).fold((0, values.first().copied().unwrap_or(f32::NAN)), better)
}

/// Checks the logits of an input, of which probabilities are made.
pub(super) fn finite(input: usize, logits: &[f32]) -> Result<()> {
    match logits.iter().find(|logit| !logit.is_finite()) {
        None => Ok(()),
        Some(found) => Err(Error::NotFinite { input, found: *found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_is_first_and_nan_last() {
        let mut all = [1.0, f32::NAN, 3.0, -f32::NAN, f32::INFINITY, 0.0, -0.0, f32::NEG_INFINITY];
        sort_by_logit(&mut all, |x| *x);
        assert_eq!(all[..6], [f32::INFINITY, 3.0, 1.0, 0.0, -0.0, f32::NEG_INFINITY]);
        assert!(all[3].is_sign_positive() && all[4].is_sign_negative(), "equal values keep their order");
        assert!(all[6].is_nan() && all[7].is_nan());
    }

    #[test]
    fn the_first_of_the_largest_is_found() {
        assert_eq!(largest(&[1.0, 3.0, 3.0, 2.0]), (1, 3.0));
        assert_eq!(largest(&[f32::NAN, 1.0, f32::NAN]), (1, 1.0));
        assert!(largest(&[]).1.is_nan());
    }

    #[test]
    fn what_is_not_finite_is_named() {
        assert!(finite(3, &[0.0, -1e30]).is_ok());
        for found in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(matches!(finite(3, &[0.0, found]), Err(Error::NotFinite { input: 3, .. })));
        }
    }
}
