//! What the kernel is called with.

/// What the kernel is called with.
#[derive(Debug)]
#[repr(C)]
pub(super) struct GemmArgs {
    /// VNNI panel, first tile.
    pub(super) x: *const u8,
    /// First register block.
    pub(super) weights: *const u8,
    /// The first strip's record of [`crate::epilogue::BlockParams`].
    pub(super) params: *const u8,
    /// Output of the first strip, first tile: bytes or f32.
    pub(super) y: *mut u8,
    /// [`crate::epilogue::Constants::address`].
    pub(super) constants: *const u8,
    /// Tokens from the first tile on, >= 1.
    pub(super) tokens: usize,
    /// Whole register blocks.
    pub(super) blocks: usize,
    /// Strips of a last, smaller register block: 0, 1 or 2.
    pub(super) last_strips: usize,
}
