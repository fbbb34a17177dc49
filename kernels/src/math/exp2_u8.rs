//! 255 * 2^-x in integers, for probabilities that are rounded to 8 bit.
//!
//! ```text
//! x      = min(below, limit) * multiplier                  u32: octaves below the largest score, 27 bits of fraction
//! X      = x >> 16                                         u16: 5 bits of octaves n, 6 bits h and 5 bits l of fraction
//! p      = HIGH[h] * LOW[l] / 2^15                         s16: 255 * 2^7 * 2^-(h/64 + l/2048)
//! 2^-x   = round(p * (256 >> n) / 2^15)                    u8
//! ```
//!
//! Both products are rounded to nearest, ties upwards (`vpmulhrsw`). In 16-bit lanes a vector holds 32 probabilities, and
//! there is neither a conversion nor a polynomial.

/// 2^-(h/64), scaled to s16.
pub const HIGH: [i16; 64] = geometric(32_767.0, 0.989_228_013_193_975_5);
/// 255 * 2^7 * 2^-((l + 1/2) / 2048): the middle of what was cut off behind l.
pub const LOW: [i16; 32] = geometric(255.0 * 128.0 * 0.999_830_788_931_959_3, 0.999_661_606_496_243_7);

/// `first * ratio^i`, rounded to nearest.
const fn geometric<const N: usize>(first: f64, ratio: f64) -> [i16; N] {
    let mut table = [0; N];
    let mut value = first;
    let mut i = 0;
    while i < N {
        table[i] = (value + 0.5) as i16;
        value *= ratio;
        i += 1;
    }
    table
}

/// How steeply 2^-x falls with integer scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Falloff {
    /// Octaves per unit of score, times 2^27, to nearest. 31 octaves at most: one unit below is 0 in 8 bit anyway.
    pub multiplier: u32,
    /// Largest distance whose product with `multiplier` fits 32 bits; at least 9 octaves, which are 0 in 8 bit.
    pub limit: u32,
}

impl Falloff {
    /// The fall of `octaves` per unit of score. What is negative or NaN counts as 0.
    pub fn new(octaves: f32) -> Falloff {
        let scaled = f64::from(octaves.clamp(0.0, 31.0)) * f64::from(1 << 27);
        let multiplier = (scaled + 0.5) as u32; // NaN becomes 0
        Falloff { multiplier, limit: u32::MAX.checked_div(multiplier).unwrap_or(u32::MAX) }
    }
}

/// `255 * 2^-x` for a score that is `below` units below the largest, rounded to 8 bit.
///
/// **Numerics**: within 0.56 of the exact value for the multiplier that is used, of which 0.5 is the rounding to 8 bit;
/// exactly 255 for `below` = 0, and 0 from 9 octaves on.
#[inline(always)]
pub fn exp2_u8(below: u32, falloff: Falloff) -> u8 {
    let x = (below.min(falloff.limit) * falloff.multiplier) >> 16;
    let (octaves, high, low) = (x >> 11, x >> 5 & 63, x & 31);
    let p = multiply_high(HIGH[high as usize], LOW[low as usize]);
    multiply_high(p, (256 >> octaves) as i16) as u8
}

/// `vpmulhrsw`: `a b / 2^15`, rounded to nearest, ties upwards.
#[inline(always)]
fn multiply_high(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b) + (1 << 14)) >> 15) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_powers_of_two() {
        for (h, &entry) in HIGH.iter().enumerate() {
            assert_eq!(entry, (32_767.0 * (-(h as f64) / 64.0).exp2()).round() as i16);
        }
        for (l, &entry) in LOW.iter().enumerate() {
            assert_eq!(entry, (32_640.0 * (-(l as f64 + 0.5) / 2048.0).exp2()).round() as i16);
        }
    }

    /// Every value of the 16 bits that count, and multipliers over all exponents.
    #[test]
    fn within_its_bound() {
        for x in 0..1u32 << 16 {
            let found = exp2_u8(1, Falloff { multiplier: x << 16, limit: u32::MAX });
            // Anything between x and the next value gives this.
            for part in [0.0, 0.5, 1.0] {
                let exact = 255.0 * (-(f64::from(x) + part) / 2048.0).exp2();
                assert!((f64::from(found) - exact).abs() < 0.56, "{x}: {found}, {exact}");
            }
        }
        for octaves in (-40..10).flat_map(|e| [1.0f32, 1.3, 1.9].map(|m| m * (e as f32).exp2())) {
            let falloff = Falloff::new(octaves);
            let per_unit = f64::from(falloff.multiplier) / f64::from(1 << 27);
            assert!((per_unit - f64::from(octaves.min(31.0))).abs() <= 0.5f64.powi(28));
            for below in (0..32).flat_map(|e| [1u32 << e, (1 << e) + (1 << e) / 3]) {
                let exact = 255.0 * (-f64::from(below) * per_unit).exp2();
                let found = exp2_u8(below, falloff);
                assert!((f64::from(found) - exact).abs() < 0.56, "{octaves} {below}: {found}, {exact}");
            }
            assert_eq!(exp2_u8(0, falloff), 255);
        }
    }

    #[test]
    fn far_below_is_zero() {
        for octaves in [1e-6f32, 1e-3, 1.0, 8.5, 9.0, 15.9, 16.1, 31.0, 1e6] {
            let below = (9.1 / octaves).ceil() as u32;
            for below in [below, 2 * below, 1 << 30, u32::MAX] {
                assert_eq!(exp2_u8(below, Falloff::new(octaves)), 0, "{octaves} {below}");
            }
        }
        for flat in [0.0, -1.0, f32::NAN] {
            assert_eq!(exp2_u8(1 << 30, Falloff::new(flat)), 255);
        }
    }
}
