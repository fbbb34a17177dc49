//! How far embeddings of the compiled encoder and of the f32 reference agree.

use std::fmt;

use serde::Serialize;

use super::task::Judged;

/// The cosine of the angle between two vectors; with a zero vector 1 if the other is zero too, else 0.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum() };
    let (aa, bb) = (dot(a, a), dot(b, b));
    match (aa == 0.0, bb == 0.0) {
        (false, false) => dot(a, b) / (aa.sqrt() * bb.sqrt()),
        (true, true) => 1.0,
        _ => 0.0,
    }
}

/// Cosines of many pairs of vectors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cosines {
    /// Mean over all pairs; NaN without pairs.
    pub mean: f64,
    /// The least of them.
    pub min: f64,
}

impl Cosines {
    /// Of `a[i]` and `b[i]` for all i.
    pub fn between<A: AsRef<[f32]>, B: AsRef<[f32]>>(a: &[A], b: &[B]) -> Cosines {
        let cosines: Vec<f64> = a.iter().zip(b).map(|(a, b)| cosine(a.as_ref(), b.as_ref())).collect();
        let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
        Cosines { mean, min: cosines.into_iter().fold(f64::INFINITY, f64::min) }
    }
}

/// The least cosine decides: a mean hides texts that are wrong.
impl Judged for Cosines {
    const MEASURE: &'static str = "least cosine to the f32 reference";
    const ENOUGH: f64 = 0.95;

    fn measure(&self) -> f64 {
        self.min
    }

    fn is_empty(&self) -> bool {
        self.min == f64::INFINITY
    }
}

impl fmt::Display for Cosines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cosine to the f32 reference: mean {:.5}, least {:.5}", self.mean, self.min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_of_zero_vectors_are_defined() {
        assert_eq!(cosine(&[0.0, 0.0], &[0.0, 0.0]), 1.0);
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 0.0]), 0.0);
        assert!((cosine(&[1.0, 0.0], &[1.0, 1.0]) - 0.5f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn the_least_and_the_mean_of_all_pairs() {
        let found = Cosines::between(&[[1.0, 0.0], [1.0, 0.0]], &[[2.0, 0.0], [0.0, 1.0]]);
        assert_eq!(found, Cosines { mean: 0.5, min: 0.0 });
        assert!(!found.is_empty() && Cosines::between(&[[0.0; 2]; 0], &[[0.0; 2]; 0]).is_empty());
        assert_eq!(found.to_string(), "cosine to the f32 reference: mean 0.50000, least 0.00000");
    }
}
