//! The codes of a column, and the least maximum.

/// The code of zero of every column.
pub const ZERO_CODE: u8 = 128;

/// Codes on either side of [`ZERO_CODE`].
pub(super) const CODES: f32 = 127.0;

/// The least maximum that scales are computed from, 2^-100: the factor 127 / max stays finite.
pub(super) const LEAST_MAXIMUM: f32 = f32::from_bits((127 - 100) << 23);
