//! Scalar twins of the vector functions: the same coefficients, the same operations in the same order, fused where the
//! generated code fuses. Portable kernels use them, so every tier computes the same bits.
//!
//! Coefficients are minimax fits (iteratively reweighted least squares on Chebyshev nodes), rounded to f32.

mod exp2_u8;

pub use exp2_u8::{Falloff, HIGH as EXP2_HIGH, LOW as EXP2_LOW, exp2_u8};

/// Coefficients of 2^f on [0, 1), ascending, for f32 results. Relative error of the exact polynomial 1.9e-9.
#[allow(clippy::approx_constant)] // the second one is fitted, not ln 2
pub const EXP2_FINE: [f32; 7] =
    [1.0, 0.693_147, 0.240_229_83, 0.055_483_34, 0.009_678_841, 0.001_243_969_3, 0.000_217_022_37];

/// log2(e).
pub const LOG2_E: f32 = std::f32::consts::LOG2_E;

/// GELU: x^2 beyond which Phi(x) is taken as 0 or 1 (|x| = 5).
pub const GELU_MAX_SQUARE: f32 = 25.0;
/// GELU: maps x^2 in [0, [`GELU_MAX_SQUARE`]] to u = x^2 * scale - 1 in [-1, 1].
pub const GELU_SQUARE_SCALE: f32 = 2.0 / GELU_MAX_SQUARE;
/// Coefficients of R(u) = (Phi(x) - 1/2) / x, ascending in u.
pub const GELU_R: [f32; 12] = [
    0.141_363_75,
    -0.070_298_23,
    0.051_525_4,
    -0.040_391_985,
    0.031_356_72,
    -0.023_624_942,
    0.016_910_158,
    -0.010_165_49,
    0.005_113_234_7,
    -0.003_886_825_9,
    0.003_194_474,
    -0.001_096_376_6,
];

/// GELU for 8-bit results: |x| beyond which Phi(x) is taken as 0 or 1.
pub const GELU_COARSE_MAX: f32 = 4.4;
/// GELU for 8-bit results: coefficients of R(t) = (Phi(x) - 1/2) / x, ascending in t = x^2.
pub const GELU_COARSE_R: [f32; 9] = [
    0.398_775_88,
    -0.066_095_96,
    0.009_652_852,
    -0.001_057_476_9,
    8.464_899e-5,
    -4.755_067e-6,
    1.755_873_2e-7,
    -3.794_569_5e-9,
    3.615_143_3e-11,
];

/// `vminps(a, b)`: b where the two compare equal or either is NaN.
pub fn vmin(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// `vmaxps(a, b)`: b where the two compare equal or either is NaN.
pub fn vmax(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Horner's rule with fused steps: `c[0] + x (c[1] + x (c[2] + ..))`.
#[inline(always)]
pub fn polynomial(coefficients: &[f32], x: f32) -> f32 {
    let (last, rest) = coefficients.split_last().expect("coefficient tables are not empty");
    rest.iter().rev().fold(*last, |p, &c| p.mul_add(x, c))
}

/// `vscalefps(p, x)`: p * 2^floor(x), rounded once.
#[inline(always)]
pub fn scalef(p: f32, x: f32) -> f32 {
    let exponent = x.floor().clamp(-400.0, 400.0) as i32; // beyond these p * 2^exponent is 0 or infinite in f32 anyway
    // Exact in f64: a power of two, and |exponent| leaves a normal number. The cast rounds to nearest even.
    let power = f64::from_bits(((1023 + exponent) as u64) << 52);
    (f64::from(p) * power) as f32
}

/// 2^x through `coefficients`: the fraction by polynomial, the exponent by scaling.
#[inline(always)]
pub fn exp2(coefficients: &[f32], x: f32) -> f32 {
    let fraction = x - x.floor(); // vrndscaleps rounding down, then vsubps
    scalef(polynomial(coefficients, fraction), x)
}

/// GELU(x) = x Phi(x). Absolute error below 2.5e-6; exactly x above 5.01 and exactly 0 below -5.01.
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    let square = vmin(x * x, GELU_MAX_SQUARE);
    let u = square.mul_add(GELU_SQUARE_SCALE, -1.0);
    let h = vmax(vmin(polynomial(&GELU_R, u) * x, 0.5), -0.5); // Phi(x) - 1/2
    h.mul_add(x, 0.5 * x)
}

/// GELU(x) = x Phi(x) for results that are rounded to 8 bit. Absolute error below 5e-5 + 1e-6 |x|.
#[inline(always)]
pub fn gelu_coarse(x: f32) -> f32 {
    let clamped = vmax(vmin(x, GELU_COARSE_MAX), -GELU_COARSE_MAX);
    let r = polynomial(&GELU_COARSE_R, clamped * clamped);
    r.mul_add(clamped, 0.5) * x // Phi(x) x
}

/// `vcvtps2dq`: to nearest even; out of range and NaN give `i32::MIN`.
#[inline(always)]
pub fn round_to_i32(x: f32) -> i32 {
    let rounded = x.round_ties_even();
    if (-2_147_483_648.0..2_147_483_648.0).contains(&rounded) { rounded as i32 } else { i32::MIN }
}

/// Rounds and saturates as the packs do: to s32, to s16, then to u8.
#[inline(always)]
pub fn quantize_u8(x: f32) -> u8 {
    round_to_i32(x).clamp(0, 255) as u8
}

/// Rounds and saturates as the packs do: to s32, to s16, then to s8.
#[inline(always)]
pub fn quantize_s8(x: f32) -> i8 {
    round_to_i32(x).clamp(-128, 127) as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn erf_gelu(x: f64) -> f64 {
        // Phi(x) through the complementary error function's continued fraction and series would need a library; a fine
        // trapezoidal integral of the density is exact enough (1e-12) and obviously right.
        let steps = 4000;
        let h = x / f64::from(steps);
        let density = |t: f64| (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let inner: f64 = (1..steps).map(|i| density(h * f64::from(i))).sum();
        x * (0.5 + h * (0.5 * (density(0.0) + density(x)) + inner))
    }

    #[test]
    fn gelu_is_within_its_bound() {
        let worst = (-7000..=7000)
            .map(|i| i as f32 * 1e-3)
            .map(|x| (f64::from(gelu(x)) - erf_gelu(f64::from(x))).abs())
            .fold(0.0, f64::max);
        assert!(worst < 2.5e-6, "{worst:e}");
    }

    #[test]
    fn gelu_coarse_is_within_its_bound() {
        for x in (-20_000..=20_000).map(|i| i as f32 * 1e-3) {
            let exact = if x.abs() < 8.0 { erf_gelu(f64::from(x)) } else { f64::from(x.max(0.0)) };
            let error = (f64::from(gelu_coarse(x)) - exact).abs();
            assert!(error < 5e-5 + 1e-6 * f64::from(x.abs()), "{x}: {error:e}");
        }
        assert!(gelu_coarse(f32::NAN).is_nan());
    }

    #[test]
    fn gelu_tails_are_exact() {
        for x in [5.01f32, 6.0, 100.0, 1e10, f32::MAX.sqrt()] {
            assert_eq!(gelu(x), x);
            assert_eq!(gelu(-x), 0.0);
        }
        assert!(gelu(f32::NAN).is_nan());
    }

    #[test]
    fn exp2_is_within_its_bounds() {
        for i in -140_000..=20_000 {
            let x = i as f32 * 1e-3;
            let exact = f64::from(x).exp2();
            let error = |c: &[f32]| (f64::from(exp2(c, x)) - exact).abs();
            let half_ulp = if exact < f64::from(f32::MIN_POSITIVE) { 1e-45 } else { exact * 6e-8 };
            assert!(error(&EXP2_FINE) <= 1.2e-7 * exact + half_ulp, "{x}");
        }
        assert_eq!(exp2(&EXP2_FINE, -1e9), 0.0);
    }

    #[test]
    fn rounding_is_to_nearest_even_and_saturates() {
        assert_eq!([0.5, 1.5, 2.5, -0.5].map(round_to_i32), [0, 2, 2, 0]);
        assert_eq!([f32::NAN, 3e9, -3e9].map(round_to_i32), [i32::MIN; 3]);
        assert_eq!([-1.0, 254.5, 255.5, 1e6].map(quantize_u8), [0, 254, 255, 255]);
        assert_eq!([-200.0, -128.4, 127.6].map(quantize_s8), [-128, -128, 127]);
    }
}
