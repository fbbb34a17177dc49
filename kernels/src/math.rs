//! Scalar twins of the vector functions: the same coefficients, the same operations in the same order, fused where the
//! generated code fuses. Portable kernels use them, so every tier computes the same bits.
//!
//! Coefficients are minimax fits (iteratively reweighted least squares on Chebyshev nodes), rounded to f32.

mod exp;
mod exp2_u8;
mod gelu;

pub(crate) use exp::EXP_MAGIC;
pub use exp::{EXP_MIN, EXP_POWERS, EXP_R, exp};
pub use exp2_u8::{Falloff, HIGH as EXP2_HIGH, LOW as EXP2_LOW, exp2_u8};

pub(crate) use gelu::{GELU_COARSE_MAGIC, GELU_MAGIC};
pub use gelu::{
    GELU_COARSE_MAX, GELU_COARSE_MIN, GELU_COARSE_PHI, GELU_COARSE_STEP, GELU_MAX, GELU_PHI, GELU_TANH_COARSE_PHI,
    GELU_TANH_PHI, gelu, gelu_coarse, gelu_tanh, gelu_tanh_coarse,
};

/// log2(e).
pub const LOG2_E: f32 = std::f32::consts::LOG2_E;

/// `vminps(a, b)`: b where the two compare equal or either is NaN.
pub fn vmin(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// `vmaxps(a, b)`: b where the two compare equal or either is NaN.
pub fn vmax(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// ReLU, max(x, 0). Exact; -0 stays -0, NaN stays NaN.
#[inline(always)]
pub fn relu(x: f32) -> f32 {
    vmax(0.0, x)
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

    #[test]
    fn relu_is_exact() {
        let bits = |x: [f32; 5]| x.map(f32::to_bits);
        assert_eq!(
            bits([1e-45, f32::INFINITY, 0.0, -0.0, -1e-45].map(relu)),
            bits([1e-45, f32::INFINITY, 0.0, -0.0, 0.0])
        );
        assert!(relu(f32::NAN).is_nan() && relu(f32::NEG_INFINITY) == 0.0);
    }

    #[test]
    fn rounding_is_to_nearest_even_and_saturates() {
        assert_eq!([0.5, 1.5, 2.5, -0.5].map(round_to_i32), [0, 2, 2, 0]);
        assert_eq!([f32::NAN, 3e9, -3e9].map(round_to_i32), [i32::MIN; 3]);
        assert_eq!([-1.0, 254.5, 255.5, 1e6].map(quantize_u8), [0, 254, 255, 255]);
        assert_eq!([-200.0, -128.4, 127.6].map(quantize_s8), [-128, -128, 127]);
    }
}
