//! The constants of 2^-x.

use crate::LANES;
use crate::math::{EXP2_HIGH, EXP2_LOW};

/// Read-only vectors the generated code points to.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Constants {
    pub(super) high: [i16; 64],
    pub(super) low: [i16; 32],
    /// For `vpermt2w`: the high halves of the dwords of two vectors, alternating.
    pub(super) high_halves: [u16; 2 * LANES],
    /// 2^8, and distances of word shifts.
    pub(super) one: [u16; 2 * LANES],
    pub(super) high_shift: [u16; 2 * LANES],
    pub(super) octave_shift: [u16; 2 * LANES],
    pub(super) byte_shift: [u16; 2 * LANES],
}

impl Constants {
    pub(super) const TABLE: &'static Constants = &Constants {
        high: EXP2_HIGH,
        low: EXP2_LOW,
        high_halves: high_halves(),
        one: [256; 2 * LANES],
        high_shift: [5; 2 * LANES],
        octave_shift: [11; 2 * LANES],
        byte_shift: [8; 2 * LANES],
    };
}

const fn high_halves() -> [u16; 2 * LANES] {
    let mut words = [0; 2 * LANES];
    let mut i = 0;
    while i < words.len() {
        // Word 2q from the first vector, 2q + 1 from the second.
        words[i] = (i - i % 2 + 1 + i % 2 * words.len()) as u16;
        i += 1;
    }
    words
}
