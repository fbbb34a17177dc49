//! What the kernel is called with.

use super::pack_indices::PackIndices;
use super::row_block::RowBlock;

/// What the kernel is called with.
#[derive(Debug)]
#[repr(C)]
pub(super) struct SpmmArgs {
    /// Panel, first tile.
    pub(super) x: *const u8,
    /// Indices of the first group.
    pub(super) indices: *const u8,
    /// Weights of the first group.
    pub(super) weights: *const u8,
    /// First row block.
    pub(super) rows: *const RowBlock,
    /// The first row block's record of [`crate::epilogue::BlockParams`].
    pub(super) params: *const u8,
    /// Output, first tile: bytes or f32.
    pub(super) y: *mut u8,
    /// [`crate::epilogue::Constants::address`].
    pub(super) constants: *const u8,
    /// [`PackIndices::TABLE`]
    pub(super) pack_indices: *const PackIndices,
    /// For every row block from the first on: 1 if its list of input features is that of the row block before it, else 0.
    pub(super) repeats: *const u8,
    /// Room for packed X and kept rows, [`super::pack_indices::scratch_bytes`] and [`super::shared::kept_bytes`], which are not needed at the same time.
    pub(super) scratch: *mut u8,
    /// Columns from the first tile on, >= 1.
    pub(super) columns: usize,
    /// Row blocks, >= 1.
    pub(super) count: usize,
}
