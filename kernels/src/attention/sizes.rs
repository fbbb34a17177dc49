//! Sizes that every part of the kernel knows.

use crate::TILE;

/// Keys per group.
pub(super) const KEYS: usize = 4;
/// Bytes of one VNNI row: four features.
pub(super) const VNNI_ROW_BYTES: i32 = 4 * TILE as i32;

/// Bytes of the even or the odd words of four features of a key group.
pub(super) const KEY_PART_BYTES: i32 = 4 * KEYS as i32;

/// Most groups of four keys of a short sequence: one accumulator per key.
pub(super) const MAX_SHORT_GROUPS: usize = 4;
