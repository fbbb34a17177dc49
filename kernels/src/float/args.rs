//! What the kernel is called with.

use super::weights::BlockRow;

/// What the kernel is called with.
#[derive(Debug)]
#[repr(C)]
pub(super) struct FloatArgs {
    /// f32 tile or bf16 panel, first tile.
    pub(super) x: *const u8,
    /// First step of the first block row.
    pub(super) stream: *const u8,
    /// First block row.
    pub(super) block_rows: *const BlockRow,
    /// Biases of the first block row.
    pub(super) bias: *const f32,
    /// Output, first tile: f32 or bf16.
    pub(super) y: *mut u8,
    /// [`super::epilogue::Constants::address`].
    pub(super) constants: *const u8,
    /// Tokens from the first tile on, >= 1.
    pub(super) tokens: usize,
    /// Block rows, >= 1.
    pub(super) count: usize,
}
