//! Medians, cosines, correlation.

pub use lacuna::tasks::{Cosines, cosine};

/// The middle of `values`, the mean of the two middle ones if their number is even; NaN without values.
pub fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which a `fraction` of `values` lies, interpolated; NaN without values. Sorts `values`.
pub fn quantile(values: &mut [f64], fraction: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return f64::NAN };
    let place = fraction * last as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    values[low] + (values[high] - values[low]) * (place - low as f64)
}

/// The geometric mean of positive values; nothing without values.
pub fn geometric_mean(values: &[f64]) -> Option<f64> {
    let logarithms: f64 = values.iter().map(|value| value.ln()).sum();
    (!values.is_empty()).then(|| (logarithms / values.len() as f64).exp())
}

/// Spearman's rank correlation: Pearson's of the ranks. NaN if one side has no two different values.
pub fn spearman(a: &[f64], b: &[f64]) -> f64 {
    pearson(&ranks(a), &ranks(b))
}

/// Ranks from 1; equal values share the mean of their ranks.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = before as f64 + (equal.len() + 1) as f64 / 2.0;
        equal.iter().for_each(|&i| ranks[i] = rank);
        before += equal.len();
    }
    ranks
}

/// Pearson's correlation: of the values themselves. NaN if one side has no two different values.
pub fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let covariance: f64 = a.iter().zip(b).map(|(x, y)| (x - mean_a) * (y - mean_b)).sum();
    let variance = |x: &[f64], mean: f64| x.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    covariance / (variance(a, mean_a) * variance(b, mean_b)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quartiles() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(quantile(&mut [0.0, 1.0, 2.0, 3.0, 4.0], 0.25), 1.0);
        assert!(median(&mut []).is_nan());
    }

    #[test]
    fn geometric_means() {
        assert!((geometric_mean(&[0.5, 8.0]).unwrap() - 2.0).abs() < 1e-12);
        assert_eq!(geometric_mean(&[]), None);
    }

    #[test]
    fn ties_share_their_mean_rank() {
        assert_eq!(ranks(&[10.0, 20.0, 10.0, 30.0]), [1.5, 3.0, 1.5, 4.0]);
        // By hand: ranks (1, 2.5, 2.5, 4) and (1, 2, 3, 4): 4.5 / sqrt(4.5 * 5).
        let rho = spearman(&[1.0, 2.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]);
        assert!((rho - 0.9486832980505138).abs() < 1e-12, "{rho}");
    }

    #[test]
    fn correlation_of_values_sees_distances() {
        // By hand: deviations (-1, 0, 1) and (-2, -1, 3): 5 / sqrt(2 * 14).
        let r = pearson(&[1.0, 2.0, 3.0], &[1.0, 2.0, 6.0]);
        assert!((r - 5.0 / 28.0_f64.sqrt()).abs() < 1e-12, "{r}");
        assert!(pearson(&[1.0, 1.0], &[1.0, 2.0]).is_nan() && pearson(&[], &[]).is_nan());
    }

    #[test]
    fn rank_correlation_ignores_scale() {
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[1.0, 10.0, 100.0]), 1.0);
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[5.0, 4.0, -3.0]), -1.0);
    }
}
