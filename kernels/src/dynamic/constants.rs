//! The codes of a column, and the least maximum.

use crate::ActivationBits;

/// The code of zero of every column: 128, of seven bits 64.
pub const fn zero_code(bits: ActivationBits) -> u8 {
    bits.largest() / 2 + 1
}

/// Codes on either side of [`zero_code`]: 127, of seven bits 63.
pub(super) const fn codes(bits: ActivationBits) -> f32 {
    (bits.largest() / 2) as f32
}

/// The least maximum that scales are computed from, 2^-100: the factor codes / max stays finite.
pub(super) const LEAST_MAXIMUM: f32 = f32::from_bits((127 - 100) << 23);
