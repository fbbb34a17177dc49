//! What the kernel is called with.

use super::params::RescaleParams;

/// What the kernel is called with.
#[derive(Debug)]
#[repr(C)]
pub(super) struct ColumnRescaleArgs {
    /// The f32 tile of sums, which is written if the results stay in place.
    pub(super) t: *mut f32,
    /// The tile of the residual stream or of the panel, if the results go there.
    pub(super) out: *mut u8,
    /// Parameters of the first feature.
    pub(super) params: *const RescaleParams,
    /// Scale of the tile's first column.
    pub(super) scales: *const f32,
    /// [`crate::epilogue::Constants::address`].
    pub(super) constants: *const u8,
    /// Columns of this tile, 1..=64.
    pub(super) columns: usize,
}
