//! Heads whose score scale is 0, or so small that it rounds to 0: all keys of a sequence weigh the same.
//!
//! With a multiplier of 0 the exponential is 1 at every distance, also at that of keys that do not exist. So the generated code
//! gets zeros for K, which makes all real scores equal, and a multiplier of 1, which makes the weight of the others 0.

use super::batch::KeyGroup;
use super::desc::AttentionDesc;
use crate::TILE;
use crate::math::Falloff;

/// What a flat head is called with in place of its own fall: real scores are equal, so any multiplier above 0 is right.
pub(super) const FALLOFF: Falloff = Falloff { multiplier: 1, limit: u32::MAX };

/// K of a flat head: the rows of one head in a VNNI panel.
#[repr(align(64))]
struct Zeros([u8; AttentionDesc::MAX_HEAD_SIZE * TILE]);

static ZEROS: Zeros = Zeros([0; AttentionDesc::MAX_HEAD_SIZE * TILE]);

/// K of a flat head of any size.
pub(super) fn keys() -> *const u8 {
    ZEROS.0.as_ptr()
}

/// The key groups of a flat head: all groups read the same zeros, and V is where it was.
pub(super) fn groups(groups: &[KeyGroup]) -> impl Iterator<Item = KeyGroup> + '_ {
    groups.iter().map(|&KeyGroup { v, .. }| KeyGroup { k: 0, v })
}

/// Whether a head is flat.
pub(super) fn is_flat(falloff: Falloff) -> bool {
    falloff.multiplier == 0
}
