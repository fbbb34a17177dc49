//! The loss of pairs with gold scores.

use lacuna_model::Matrix;

use crate::error::check_size;
use crate::{Error, Result};

/// What cosines are multiplied by.
const SCALE: f64 = 20.0;

/// A pair of texts that come one after the other, and how alike they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredPair {
    /// The place of the first text in the batch; the second one follows it.
    pub first: usize,
    /// The gold score, in any unit: only the order of scores counts.
    pub score: f32,
}

/// How far the order of cosines is from the order of gold scores, and the gradient of that with respect to the embeddings, `[texts][features]` with
/// rows of norm 1. With the cosine `c_p = e_first . e_second` of pair p:
///
/// ```text
/// log(1 + sum exp(20 (c_q - c_p)))    over all p and q with score_p > score_q
/// ```
///
/// It is 0 for fewer than two pairs, and where all scores are equal.
///
/// # Errors
/// [`Error::Size`] for pairs that the batch does not have.
///
/// # Source
/// Su, CoSENT, 2022: it follows ranks, as the Spearman correlation does.
pub fn score_loss(embeddings: &Matrix, pairs: &[ScoredPair]) -> Result<(f64, Matrix)> {
    if let Some(pair) = pairs.iter().find(|pair| pair.first + 1 >= embeddings.rows) {
        return Err(Error::Size { what: "texts of a pair", found: embeddings.rows, expected: pair.first + 2 });
    }
    check_size("values of the embeddings", embeddings.data.len(), embeddings.rows * embeddings.cols)?;
    let (first, second) = (|p: &ScoredPair| embeddings.row(p.first), |p: &ScoredPair| embeddings.row(p.first + 1));
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let cosines: Vec<f64> = pairs.iter().map(|pair| dot(first(pair), second(pair))).collect();
    // The exponent of every p and q in the wrong order counts; 0 stands for the 1.
    let wrong = || {
        let of = |p: usize| (0..pairs.len()).filter(move |&q| pairs[p].score > pairs[q].score).map(move |q| (p, q));
        (0..pairs.len()).flat_map(of)
    };
    let exponent = |(p, q): (usize, usize)| SCALE * (cosines[q] - cosines[p]);
    let max = wrong().map(exponent).fold(0.0, f64::max);
    let sum = wrong().map(|pair| (exponent(pair) - max).exp()).sum::<f64>() + (-max).exp();
    let loss = max + sum.ln();
    let mut slopes = vec![0.0; pairs.len()];
    for (p, q) in wrong() {
        let slope = SCALE * (exponent((p, q)) - max).exp() / sum;
        slopes[p] -= slope;
        slopes[q] += slope;
    }
    let mut gradient = Matrix::zeros(embeddings.rows, embeddings.cols);
    for (pair, slope) in pairs.iter().zip(slopes) {
        for (row, other) in [(pair.first, second(pair)), (pair.first + 1, first(pair))] {
            gradient.row_mut(row).iter_mut().zip(other).for_each(|(g, x)| *g = (slope as f32).mul_add(*x, *g));
        }
    }
    Ok((loss, gradient))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embeddings() -> Matrix {
        Matrix { rows: 8, cols: 5, data: (0..40).map(|i| (i as f32 * 1.7).sin() * 0.4).collect() }
    }

    fn pairs(scores: &[f32]) -> Vec<ScoredPair> {
        let places = [0, 2, 5];
        scores.iter().zip(places).map(|(&score, first)| ScoredPair { first, score }).collect()
    }

    #[test]
    fn the_gradient_is_that_of_the_differences() {
        let (mut at, pairs) = (embeddings(), pairs(&[3.0, 1.0, 2.0]));
        let (_, gradient) = score_loss(&at, &pairs).unwrap();
        for i in 0..at.data.len() {
            let x = at.data[i];
            let [above, below] = [1e-3, -1e-3].map(|d| {
                at.data[i] = x + d;
                score_loss(&at, &pairs).unwrap().0
            });
            at.data[i] = x;
            let expected = (above - below) / 2e-3;
            assert!((f64::from(gradient.data[i]) - expected).abs() < 2e-2, "{} {expected}", gradient.data[i]);
        }
        // Rows 4 and 7 are in no pair.
        assert!(gradient.row(4).iter().chain(gradient.row(7)).all(|&g| g == 0.0));
    }

    #[test]
    fn the_loss_is_what_its_definition_says() {
        let at = embeddings();
        let c: Vec<f64> = [0, 2, 5]
            .map(|i| at.row(i).iter().zip(at.row(i + 1)).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum())
            .to_vec();
        let (loss, _) = score_loss(&at, &pairs(&[3.0, 1.0, 1.0])).unwrap();
        let expected = (1.0 + (20.0 * (c[1] - c[0])).exp() + (20.0 * (c[2] - c[0])).exp()).ln();
        assert!((loss - expected).abs() < 1e-9, "{loss} {expected}");
        for none in [&[][..], &[1.0], &[2.0, 2.0, 2.0]] {
            let (loss, gradient) = score_loss(&at, &pairs(none)).unwrap();
            assert_eq!((loss, gradient), (0.0, Matrix::zeros(8, 5)));
        }
        let outside = [ScoredPair { first: 7, score: 1.0 }];
        assert!(matches!(score_loss(&at, &outside), Err(Error::Size { found: 8, expected: 9, .. })));
    }
}
