//! What the kernel is called with.

/// What the kernel is called with.
#[derive(Debug)]
#[repr(C)]
pub(super) struct GemmArgs {
    /// VNNI panel, first tile.
    pub(super) x: *const u8,
    /// First register block; with codes of seven bits and AVX2 without VNNI the first of [`super::twos::Two`].
    pub(super) weights: *const u8,
    /// How many of these every row block has, from the first on; nothing without them.
    pub(super) counts: *const u32,
    /// The first row block's record of [`crate::epilogue::BlockParams`].
    pub(super) params: *const u8,
    /// Output of the first row block, first tile: bytes or f32.
    pub(super) y: *mut u8,
    /// [`crate::epilogue::Constants::address`].
    pub(super) constants: *const u8,
    /// Columns from the first tile on, >= 1.
    pub(super) columns: usize,
    /// Whole register blocks.
    pub(super) blocks: usize,
    /// Row blocks of a last, smaller register block: 0, 1 or 2.
    pub(super) last_row_blocks: usize,
}
