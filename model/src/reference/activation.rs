//! The activation functions of the feed-forward block.

use crate::config::Activation;

/// Applies an activation function to every element, in place.
pub fn activate(activation: Activation, xs: &mut [f32]) {
    match activation {
        Activation::Gelu => gelu(xs),
        Activation::GeluTanh => gelu_tanh(xs),
        Activation::Relu => xs.iter_mut().filter(|x| **x < 0.0).for_each(|x| *x = 0.0),
    }
}

/// GELU with the error function, in place: `x * (1 + erf(x / sqrt(2))) / 2`.
///
/// # Numerics
/// `erf` is a rational approximation in f32, within 1e-6 of the exact value everywhere.
pub fn gelu(xs: &mut [f32]) {
    for x in xs {
        *x = 0.5 * *x * (1.0 + erf(*x * std::f32::consts::FRAC_1_SQRT_2));
    }
}

/// The error function: an odd rational function on the interval where erf rounds to less than one.
#[inline]
pub(crate) fn erf(x: f32) -> f32 {
    /// erf of this rounds to 1 in f32.
    const LIMIT: f32 = 3.832_507;
    const NUMERATOR: [f32; 5] =
        [2.290_506_6e-4, 3.408_291e-3, 5.095_569_5e-2, 1.852_083_2e-1, std::f32::consts::FRAC_2_SQRT_PI];
    const DENOMINATOR: [f32; 7] =
        [-1.179_160_3e-7, 2.354_796_6e-5, 1.017_962_5e-3, 1.407_047e-2, 1.109_850_5e-1, 4.974_692_5e-1, 1.0];
    let x = x.clamp(-LIMIT, LIMIT);
    let square = x * x;
    let horner = |c: &[f32]| c.iter().fold(0.0, |sum, &c| sum * square + c);
    x * horner(&NUMERATOR) / horner(&DENOMINATOR)
}

/// GELU in its tanh form, in place: `x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2`.
///
/// # Numerics
/// `(1 + tanh(y)) / 2` is computed as `1 / (1 + exp(-2 y))`, which keeps its relative accuracy where tanh is close to -1.
pub fn gelu_tanh(xs: &mut [f32]) {
    /// `2 * sqrt(2 / pi)`.
    const SCALE: f32 = 2.0 * 0.797_884_6;
    for x in xs {
        let twice = SCALE * (*x + 0.044_715 * *x * *x * *x);
        *x /= 1.0 + (-twice).exp();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_is_within_its_bound() {
        for i in -80_000..=80_000 {
            let x = i as f32 * 1e-4;
            let error = (f64::from(erf(x)) - libm::erf(f64::from(x))).abs();
            assert!(error < 1e-6, "erf({x}) is off by {error}");
        }
    }

    #[test]
    fn erf_passes_nan_on_and_saturates() {
        assert!(erf(f32::NAN).is_nan());
        assert_eq!(erf(f32::INFINITY), erf(4.0));
        assert!((erf(f32::NEG_INFINITY) + 1.0).abs() < 1e-6);
    }

    /// Against the definition in f64.
    #[test]
    fn gelu_tanh_is_within_its_bound() {
        let exact = |x: f64| {
            let y = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + y.tanh())
        };
        for i in -80_000..=80_000 {
            let x = i as f32 * 1e-4;
            let mut found = [x];
            gelu_tanh(&mut found);
            let error = (f64::from(found[0]) - exact(f64::from(x))).abs();
            assert!(error < 2e-6, "gelu_tanh({x}) is off by {error}");
        }
    }

    #[test]
    fn activations_keep_to_their_limits() {
        for activation in Activation::ALL {
            let mut xs = [-1e3f32, -50.0, 0.0, 50.0, 1e3];
            let expected = xs.map(|x| x.max(0.0));
            activate(activation, &mut xs);
            for (found, expected) in xs.iter().zip(expected) {
                assert!(
                    (found - expected).abs() < 2e-6 * expected.max(100.0),
                    "{activation}: {found} is not {expected}"
                );
            }
            let mut nan = [f32::NAN];
            activate(activation, &mut nan);
            assert!(nan[0].is_nan(), "{activation}");
        }
    }
}
