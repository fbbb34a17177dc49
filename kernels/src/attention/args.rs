//! What the kernel is called with.

use super::batch::{KeyGroup, QueryChunk};
use super::constants::Constants;
use super::parabolas::Parabolas;

/// What differs between the heads of a call.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct HeadParams {
    /// `[D]`: value scale / output scale.
    pub(super) out_scale: *const f32,
    /// Bytes from the first row of the first head of a panel to that of this head.
    pub(super) offset: u64,
    /// [`crate::math::Falloff::multiplier`].
    pub(super) multiplier: u32,
    /// [`crate::math::Falloff::limit`].
    pub(super) limit: u32,
    pub(super) minus_q_zero: i32,
}

/// What the kernel is called with: one sequence, some heads. Pointers to panels point to the first head's first row in the
/// first tile.
#[derive(Debug)]
#[repr(C)]
pub(super) struct AttentionArgs {
    pub(super) q: *const u8,
    pub(super) k: *const u8,
    pub(super) v: *const u8,
    pub(super) out: *mut u8,
    /// At least one head.
    pub(super) heads: *const HeadParams,
    pub(super) heads_end: *const HeadParams,
    /// At least one group of four keys.
    pub(super) keys: *const KeyGroup,
    pub(super) keys_end: *const KeyGroup,
    /// Number of these groups.
    pub(super) groups: usize,
    /// At least one query chunk.
    pub(super) chunks: *const QueryChunk,
    pub(super) chunks_end: *const QueryChunk,
    /// `[group][4]` s32: what the zero point of Q contributes to every score of a key.
    pub(super) key_bias: *mut i32,
    /// `[group][4][vectors][16]` s32.
    pub(super) scores: *mut i32,
    /// `[group][vectors][16][4]` u8; without `vpdpbusd` words, for 16 queries.
    pub(super) probabilities: *mut u8,
    /// [`super::plan::AttentionPlan::key_words_bytes`]: `[group][step][even, odd][4]` pairs of s16.
    pub(super) key_words: *mut i16,
    /// [`Constants::TABLE`].
    pub(super) exponential: *const Constants,
    /// [`Parabolas::TABLE`].
    pub(super) parabolas: *const Parabolas,
    /// [`crate::epilogue::Constants::address`].
    pub(super) constants: *const u8,
    pub(super) last_group_bias: [i32; 4],
    pub(super) out_zero: f32,
    pub(super) one: f32,
    /// u8 and s8 ones.
    pub(super) ones: i32,
    /// s16 ones.
    pub(super) one_words: i32,
    pub(super) lowest: i32,
}
