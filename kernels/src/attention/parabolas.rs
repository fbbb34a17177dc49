//! [`crate::math::exp2_u8`] for vectors without look-ups of 64 words: the same bits from eight parabolas.
//!
//! Of p = HIGH[h] * LOW[l] / 2^15 only the 9 bits above the lowest 6 decide the result. So p may be replaced by anything that has
//! the same 9 bits for all 2^11 fractions. With X as in [`crate::math::exp2_u8`], the segment s of the octave is in bits 8 to 10 of X
//! and the place u in the segment in bits 0 to 7:
//!
//! ```text
//! x      = u * SCALE
//! p      = A[s] - x (B[s] - x C[s])                        every product is shifted right by 16 (vpmulhuw)
//! 2^-x   = round(p * (256 >> n) / 2^15)
//! ```
//!
//! The coefficients were searched near the parabola through three points of 255 * 2^7 * 2^-(f/2048). The rounding of x C
//! depends on `SCALE`; 92 leaves solutions for all segments. Tests repeat the search and compare all 2^16 values of X.

/// A factor on the place within a segment.
const SCALE: i8 = 92;
/// Segments of an octave.
const SEGMENTS: usize = 8;

/// A, B and C of each segment.
const COEFFICIENTS: [[u16; 3]; SEGMENTS] = [
    [32_634, 7_866, 911],
    [29_923, 7_187, 774],
    [27_441, 6_609, 755],
    [25_162, 6_047, 664],
    [23_075, 5_571, 678],
    [21_158, 5_089, 577],
    [19_403, 4_669, 532],
    [17_792, 4_272, 455],
];

/// What the generated code reads. Tables of 16 bytes are looked up by `vpshufb`; the rest are operands, whole vectors.
#[derive(Debug)]
#[repr(C, align(32))]
pub(super) struct Parabolas {
    /// A, B and C of every segment: the low bytes of eight words, then their high bytes.
    pub(super) coefficients: [[u8; 16]; 3],
    /// 256 >> n in two bytes: the low one at n, the high one at n + 8. Indices of 128 and above give 0.
    pub(super) octaves: [u8; 16],
    /// The index of a word's high byte, twice.
    pub(super) high_byte: [u8; 32],
    /// `SCALE` for the low byte of a word, 0 for the high one.
    pub(super) scale: [[i8; 2]; 16],
    /// The bits of the segment in each of two equal high bytes.
    pub(super) segment_bits: [u16; 16],
    /// What makes two equal segments indices of the low and of the high byte of a coefficient.
    pub(super) segment_bytes: [u16; 16],
    /// The bits of n in each of two equal high bytes, shifted right by 3.
    pub(super) octave_bits: [u16; 16],
    /// What makes two equal n, 0 to 31, indices of the low and of the high byte of 256 >> n: n + 0x70 and n + 0x78.
    pub(super) octave_bytes: [u16; 16],
    /// Ones in bytes.
    pub(super) one_bytes: [u8; 32],
    /// Ones in words.
    pub(super) one_words: [u16; 16],
}

impl Parabolas {
    pub(super) const TABLE: &'static Parabolas = &Parabolas {
        coefficients: [coefficient_bytes(0), coefficient_bytes(1), coefficient_bytes(2)],
        octaves: [0, 128, 64, 32, 16, 8, 4, 2, 1, 0, 0, 0, 0, 0, 0, 0],
        high_byte: high_bytes(),
        scale: [[SCALE, 0]; 16],
        segment_bits: [0x0707; 16],
        segment_bytes: [0x0800; 16],
        octave_bits: [0x1f1f; 16],
        octave_bytes: [0x7870; 16],
        one_bytes: [1; 32],
        one_words: [1; 16],
    };
}

const fn coefficient_bytes(coefficient: usize) -> [u8; 16] {
    let mut bytes = [0; 16];
    let mut s = 0;
    while s < SEGMENTS {
        [bytes[s], bytes[s + SEGMENTS]] = COEFFICIENTS[s][coefficient].to_le_bytes();
        s += 1;
    }
    bytes
}

const fn high_bytes() -> [u8; 32] {
    let mut indices = [0; 32];
    let mut i = 0;
    while i < indices.len() {
        indices[i] = (i % 16) as u8 | 1;
        i += 1;
    }
    indices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::{EXP2_HIGH, EXP2_LOW, Falloff, exp2_u8};

    /// p of place u in a segment.
    fn parabola([a, b, c]: [i64; 3], u: i64) -> i64 {
        let x = u * i64::from(SCALE);
        a - ((x * (b - ((x * c) >> 16))) >> 16)
    }

    #[test]
    fn every_value_has_the_bits_of_the_definition() {
        for x in 0..1u32 << 16 {
            let (octaves, segment, u) = (x >> 11, x as usize >> 8 & 7, i64::from(x & 255));
            let p = parabola(COEFFICIENTS[segment].map(i64::from), u);
            let found = (p * (256 >> octaves) + (1 << 14)) >> 15;
            let expected = exp2_u8(1, Falloff { multiplier: x << 16, limit: u32::MAX });
            assert_eq!(found, i64::from(expected), "{x}");
        }
    }

    /// All factors and differences fit 16 bits; p and x are not negative as signed words.
    #[test]
    fn words_do_not_overflow() {
        for [a, b, c] in COEFFICIENTS.map(|c| c.map(i64::from)) {
            for u in 0..256 {
                let x = u * i64::from(SCALE);
                assert!((0..1 << 15).contains(&x));
                assert!((0..1 << 16).contains(&(b - ((x * c) >> 16))));
                assert!((0..1 << 15).contains(&parabola([a, b, c], u)));
            }
        }
    }

    /// The search: of all parabolas near the interpolating one that are right everywhere, the one in the middle of the list.
    #[test]
    fn the_search_finds_the_coefficients() {
        const NEAR: i64 = 6;
        for (s, &expected) in COEFFICIENTS.iter().enumerate() {
            let wanted: Vec<i64> = (256 * s..256 * (s + 1))
                .map(|f| (i64::from(EXP2_HIGH[f >> 5]) * i64::from(EXP2_LOW[f & 31]) + (1 << 14)) >> 21)
                .collect();
            let exact = |u: f64| 255.0 * 128.0 * (-(256.0 * s as f64 + u + 0.5) / 2048.0).exp2();
            let (first, middle, last) = (exact(0.0), exact(128.0), exact(256.0));
            let unit = 256.0 / f64::from(SCALE); // of x, of a whole segment in 2^16
            let curvature = 2.0 * (first - 2.0 * middle + last);
            let (a0, b0, c0) =
                (first.round() as i64, ((first - last + curvature) * unit) as i64, (curvature * unit * unit) as i64);
            let mut found = Vec::new();
            for a in a0 - NEAR..=a0 + NEAR {
                for c in c0 - 20 * NEAR..=c0 + 20 * NEAR {
                    for b in b0 - 8 * NEAR..=b0 + 8 * NEAR {
                        if (0..).zip(&wanted).all(|(u, &m)| parabola([a, b, c], u) >> 6 == m) {
                            found.push([a, b, c]);
                        }
                    }
                }
            }
            assert!(found.contains(&expected.map(i64::from)), "segment {s}: {} solutions", found.len());
        }
    }

    #[test]
    fn octaves_are_looked_up_in_two_bytes() {
        let table = Parabolas::TABLE;
        for n in 0..32u16 {
            let index = (n * 0x0101 + table.octave_bytes[0]).to_le_bytes();
            let look_up = |i: u8| if i >= 128 { 0 } else { table.octaves[usize::from(i % 16)] };
            assert_eq!(u16::from_le_bytes(index.map(look_up)), 256u16.checked_shr(n.into()).unwrap_or(0), "{n}");
        }
    }
}
