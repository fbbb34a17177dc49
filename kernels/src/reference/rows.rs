//! Obvious f64 references of the row kernels, on plain row-major `[F][N]` matrices.

use crate::ActivationBits;
use crate::epilogue::Activation;

/// Layernorm down each column of `x` (`[F][N]`): `(x - mean) / sqrt(variance + epsilon) * gamma[f] + beta[f]`.
pub fn layernorm(x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32, columns: usize) -> Vec<f64> {
    let features = gamma.len();
    let mut y = vec![0.0; features * columns];
    for n in 0..columns {
        let column = || (0..features).map(|f| f64::from(x[f * columns + n]));
        let mean = column().sum::<f64>() / features as f64;
        let variance = column().map(|x| (x - mean) * (x - mean)).sum::<f64>() / features as f64;
        let deviation = (variance + f64::from(epsilon)).sqrt();
        for (f, x) in column().enumerate() {
            y[f * columns + n] = (x - mean) / deviation * f64::from(gamma[f]) + f64::from(beta[f]);
        }
    }
    y
}

/// Softmax down each column of `x` (`[F][N]`).
pub fn softmax(x: &[f32], columns: usize) -> Vec<f64> {
    let features = x.len() / columns;
    let mut y = vec![0.0; x.len()];
    for n in 0..columns {
        let column = || (0..features).map(|f| f64::from(x[f * columns + n]));
        let max = column().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = column().map(|x| (x - max).exp()).sum();
        for (f, x) in column().enumerate() {
            y[f * columns + n] = (x - max).exp() / sum;
        }
    }
    y
}

/// GELU: `x / 2 (1 + erf(x / sqrt(2)))`.
pub fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2))
}

/// GELU in its tanh form: `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`.
pub fn gelu_tanh(x: f64) -> f64 {
    let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
    0.5 * x * (1.0 + u.tanh())
}

/// The activation of a number.
pub fn activated(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Identity => x,
        Activation::Relu => x.max(0.0),
        Activation::Gelu => gelu(x),
        Activation::GeluTanh => gelu_tanh(x),
    }
}

/// The error function by its series of positive terms, `2 / sqrt(pi) exp(-x^2) sum_k 2^k x^(2k+1) / (1 3 5 .. (2k+1))`.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum(); // 1 - erf(6) is 2e-17
    }
    let (mut term, mut sum) = (x, x);
    for k in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * k + 1);
        sum += term;
    }
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
}

/// `round(y scale + zero)`, to nearest even, saturated to `low..=high`.
pub fn quantize(y: f64, scale: f32, zero: f32, low: i32, high: i32) -> i32 {
    (y * f64::from(scale) + f64::from(zero)).round_ties_even().clamp(f64::from(low), f64::from(high)) as i32
}

/// `(word + kind) + position`, rows of `features` elements; the result is `[F][N]`.
pub fn embedding(tables: [&[f32]; 3], ids: [&[u32]; 3], features: usize, columns: usize) -> Vec<f64> {
    let mut x = vec![0.0; features * columns];
    for n in 0..columns {
        for f in 0..features {
            let row = |t: usize| f64::from(tables[t][ids[t][n] as usize * features + f]);
            x[f * columns + n] = row(0) + row(1) + row(2);
        }
    }
    x
}

/// The scale of one column and the codes of its features, before they are rounded: `scale = max |x| / 127`, `x / scale + 128`; of seven
/// bits `max |x| / 63` and `x / scale + 64`. A column of zeros has the code 128 (64) everywhere. Its scale is the least possible one.
pub fn column_codes(x: &[f64], bits: ActivationBits) -> (f64, Vec<f64>) {
    let (codes, zero) = match bits {
        ActivationBits::Seven => (63.0, 64.0),
        ActivationBits::Eight => (127.0, 128.0),
    };
    let max = x.iter().fold(2f64.powi(-100), |max, x| max.max(x.abs()));
    let scale = max / codes;
    (scale, x.iter().map(|x| x / scale + zero).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_has_its_known_values() {
        // Abramowitz and Stegun, table 7.1.
        for (x, expected) in [(0.0, 0.0), (0.5, 0.520_499_877_8), (1.0, 0.842_700_792_9), (2.0, 0.995_322_265_0)] {
            assert!((erf(x) - expected).abs() < 1e-10, "{x}");
            assert!((erf(-x) + expected).abs() < 1e-10, "{x}");
        }
        assert_eq!(erf(7.0), 1.0);
    }
}
