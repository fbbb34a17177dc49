//! What the kernel is called with.

/// What the kernel is called with.
#[derive(Debug)]
#[repr(C)]
pub(super) struct ColumnQuantArgs {
    /// The f32 tile.
    pub(super) x: *const f32,
    /// The panel's tile.
    pub(super) panel: *mut u8,
    /// Inverse scale of the first feature.
    pub(super) inverse: *const f32,
    /// Scale of the tile's first column.
    pub(super) scales: *mut f32,
    /// [`crate::epilogue::Constants::address`].
    pub(super) constants: *const u8,
    /// Columns of this tile, 1..=64.
    pub(super) columns: usize,
    /// All bits but the sign.
    pub(super) magnitude: u32,
    /// [`super::super::constants::LEAST_MAXIMUM`].
    pub(super) least: f32,
    /// [`super::super::constants::codes`].
    pub(super) codes: f32,
    /// [`super::super::zero_code`].
    pub(super) zero: f32,
}
