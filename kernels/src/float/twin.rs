//! Scalar twins of the bf16 instructions, exact to the bit.

use half::bf16;

/// `vcvtne2ps2bf16` for one element: to nearest even; denormals become zeros of the same sign, NaNs quiet NaNs.
#[inline(always)]
pub fn round_to_bf16(x: f32) -> bf16 {
    let bits = flush(x).to_bits();
    let upper = bits >> 16;
    let nearest = bits.wrapping_add(0x7fff + (upper & 1)) >> 16;
    let quiet = upper | 0x40;
    bf16::from_bits(if x.is_nan() { quiet } else { nearest } as u16)
}

/// `vdpbf16ps` for one lane: `acc + x[1] w[1] + x[0] w[0]`, as two fused multiply-adds in this order.
///
/// **Numerics**: each multiply-add rounds once, to nearest even. Denormal operands count as zeros, and a result that
/// would be denormal becomes zero: one whose magnitude, rounded to 24 bits with no limit on the exponent, is below
/// 2^-126. MXCSR is neither read nor written. The sign and payload of a NaN are unspecified.
///
/// **Source**: Intel SDM volume 2, VDPBF16PS.
#[inline(always)]
pub fn dot_bf16(acc: f32, x: [bf16; 2], w: [bf16; 2]) -> f32 {
    let operand = |value: bf16| flush(value.to_f32());
    fused(fused(acc, operand(x[1]), operand(w[1])), operand(x[0]), operand(w[0]))
}

/// Denormals to zeros of the same sign.
#[inline(always)]
pub(super) fn flush(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { 0f32.copysign(x) } else { x }
}

/// One of the two multiply-adds of [`dot_bf16`]; `x` and `w` are bf16 values and not denormal.
#[inline(always)]
pub(super) fn fused(acc: f32, x: f32, w: f32) -> f32 {
    /// Lifts a sum around 2^-126, where f32 has fewer than 24 bits, to where it has all of them. Where the lifted
    /// operands overflow, the sum is either far from 2^-126 or exact.
    const LIFT: f32 = (1u32 << 24) as f32;
    let acc = flush(acc);
    let sum = w.mul_add(x, acc);
    let lifted = (w * LIFT).mul_add(x, acc * LIFT);
    let tiny = sum.abs() < f32::MIN_POSITIVE || lifted.abs() < f32::MIN_POSITIVE * LIFT;
    if tiny { 0f32.copysign(sum) } else { sum }
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use std::arch::x86_64::{
        __m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_cvtss_f32, _mm512_dpbf16_ps, _mm512_set1_epi32, _mm512_set1_ps,
    };

    use lacuna_jit::Avx512Bf16;
    use rand::prelude::*;

    use super::*;

    /// The instructions themselves, in lane 0.
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn hardware(acc: f32, x: [bf16; 2], w: [bf16; 2]) -> (f32, bf16) {
        let pair = |p: [bf16; 2]| {
            let bits = u32::from(p[0].to_bits()) | u32::from(p[1].to_bits()) << 16;
            // SAFETY: both are 64 bytes of plain data.
            unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(bits.cast_signed())) }
        };
        let sum = _mm512_dpbf16_ps(_mm512_set1_ps(acc), pair(x), pair(w));
        let rounded = _mm512_cvtne2ps_pbh(_mm512_set1_ps(acc), _mm512_set1_ps(acc));
        // SAFETY: both are 64 bytes of plain data.
        let rounded = unsafe { std::mem::transmute::<__m512bh, [u16; 32]>(rounded) };
        (_mm512_cvtss_f32(sum), bf16::from_bits(rounded[0]))
    }

    #[track_caller]
    fn check(acc: f32, x: [bf16; 2], w: [bf16; 2]) {
        // SAFETY: the callers hold the token.
        let (sum, rounded) = unsafe { hardware(acc, x, w) };
        let twin = dot_bf16(acc, x, w);
        let same = sum.to_bits() == twin.to_bits() || sum.is_nan() && twin.is_nan();
        assert!(same, "{acc:e} + {x:?} . {w:?} is {sum:e} ({:08x}), the twin says {twin:e}", sum.to_bits());
        assert_eq!(rounded.to_bits(), round_to_bf16(acc).to_bits(), "{acc:e} rounded to bf16");
    }

    /// A random number with an exponent field from `exponents`, with `bits` explicit bits.
    fn number(exponents: std::ops::RangeInclusive<u32>, bits: u32, rng: &mut StdRng) -> f32 {
        let fraction = rng.random::<u32>() >> 9 >> (23 - bits) << (23 - bits);
        f32::from_bits(u32::from(rng.random::<bool>()) << 31 | rng.random_range(exponents) << 23 | fraction)
    }

    #[test]
    fn the_twins_are_the_instructions() {
        let Some(_) = Avx512Bf16::detect() else {
            return eprintln!("skipped: this machine lacks {}", Avx512Bf16::FEATURE);
        };
        let mut rng = StdRng::seed_from_u64(1);
        // Exponents of the accumulator, of x and of w: around 1, all, products near 2^-126, and denormal operands.
        let ranges = [
            (118..=140, 120..=134, 120..=134),
            (0..=255, 0..=255, 0..=255),
            (0..=3, 58..=70, 58..=70),
            (0..=26, 38..=66, 60..=64),
            (0..=2, 0..=2, 100..=140),
        ];
        for (acc, x, w) in ranges {
            for _ in 0..200_000 {
                let mut pair = |range: &std::ops::RangeInclusive<u32>| {
                    [0; 2].map(|_| bf16::from_f32(number(range.clone(), 7, &mut rng)))
                };
                let (x, w) = (pair(&x), pair(&w));
                check(number(acc.clone(), 23, &mut rng), x, w);
            }
        }
    }

    #[test]
    fn rounding_is_to_nearest_even() {
        for upper in (0..=u16::MAX).filter(|&upper| bf16::from_bits(upper).is_normal()) {
            for lower in [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
                let x = f32::from_bits(u32::from(upper) << 16 | lower);
                assert_eq!(round_to_bf16(x).to_bits(), bf16::from_f32(x).to_bits(), "{x:e}");
            }
        }
        let zeros = [0.0, -0.0, 1e-40, -1e-40].map(|x| round_to_bf16(x).to_bits());
        assert_eq!(zeros, [0, 0x8000, 0, 0x8000]);
        assert!(round_to_bf16(f32::NAN).is_nan());
        assert!(round_to_bf16(f32::from_bits(0xffff_ffff)).is_nan());
    }

    /// Sums just below 2^-126: rounded to the 23 bits that a denormal of that size has they would be 2^-126, rounded to
    /// 24 bits they are below it. Whether they are flushed is where implementations differ.
    #[test]
    fn sums_that_round_to_the_smallest_normal_number() {
        let Some(_) = Avx512Bf16::detect() else {
            return eprintln!("skipped: this machine lacks {}", Avx512Bf16::FEATURE);
        };
        let zero = bf16::ZERO;
        for step in 1..=512u16 {
            let fraction = bf16::from_f32(f32::from(step) / 128.0); // of 2^-24 of the smallest normal number
            let scale = bf16::from_f32(2f32.powi(-70));
            let x = bf16::from_f32(fraction.to_f32() * 2f32.powi(-80));
            for sign in [1.0f32, -1.0] {
                let w = bf16::from_f32(-sign * scale.to_f32());
                check(sign * f32::MIN_POSITIVE, [x, zero], [w, zero]);
                check(sign * f32::MIN_POSITIVE, [zero, x], [zero, w]);
            }
        }
        assert_eq!(fused(f32::MIN_POSITIVE, 2f32.powi(-80), -0.75 * 2f32.powi(-70)), 0.0);
        assert_eq!(fused(f32::MIN_POSITIVE, 2f32.powi(-80), -0.5 * 2f32.powi(-70)), f32::MIN_POSITIVE);
    }
}
