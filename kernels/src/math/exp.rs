//! The exponential function of softmax.

use super::{LOG2_E, polynomial, scalef, vmax};

/// e^x is 0 in f32 for any x below this.
pub const EXP_MIN: f32 = -150.0;
/// 1.5 * 2^19, whose unit in the last place is 1/16: added to a small number, it rounds to a multiple of 1/16 with its two's
/// complement in the lowest bits.
pub(crate) const EXP_MAGIC: f32 = 786_432.0;
/// 2^(i/16).
#[allow(clippy::approx_constant)] // one of them is the square root of 2
pub const EXP_POWERS: [f32; 16] = [
    1.0,
    1.044_273_7,
    1.090_507_7,
    1.138_788_6,
    1.189_207_1,
    1.241_857_8,
    1.296_839_6,
    1.354_255_6,
    1.414_213_5,
    1.476_826_2,
    1.542_210_8,
    1.610_490_3,
    1.681_792_9,
    1.756_252_2,
    1.834_008_1,
    1.915_206_6,
];
/// Coefficients of 2^-r for |r| <= 1/32, ascending: (-ln 2)^k / k!. What follows is below 1e-8.
pub const EXP_R: [f32; 4] = [1.0, -std::f32::consts::LN_2, 0.240_226_5, -0.055_504_11];

/// e^x for x <= 0, through 2^(n/16) from a table and a polynomial for the rest.
///
/// **Numerics**: error below 1.7 + 0.22 |x| units in the last place, 2e-7 + 2.7e-8 |x| relative where the result is normal. -inf gives
/// 0, NaN gives NaN, 0 gives 1. With x above 0 it is not meant to be called.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = vmax(EXP_MIN, x); // NaN stays: it is the second operand
    let shifted = x.mul_add(LOG2_E, EXP_MAGIC);
    let sixteenths = shifted - EXP_MAGIC; // n/16, nearest to x log2(e)
    let r = (-x).mul_add(LOG2_E, sixteenths); // n/16 - x log2(e), rounded once
    let power = scalef(EXP_POWERS[shifted.to_bits() as usize % 16], sixteenths); // 2^(n/16)
    polynomial(&EXP_R, r) * power
}
