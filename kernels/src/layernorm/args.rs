//! What the kernel is called with.

use super::params::NormParams;

/// What the kernel is called with.
#[derive(Debug)]
#[repr(C)]
pub(super) struct LayerNormArgs {
    /// The f32 tile.
    pub(super) x: *mut f32,
    /// The panel's tile, if one is written.
    pub(super) panel: *mut u8,
    /// Parameters of the first feature.
    pub(super) params: *const NormParams,
    /// [`crate::epilogue::Constants::address`].
    pub(super) constants: *const u8,
    /// Columns of this tile, 1..=64.
    pub(super) columns: usize,
    /// F.
    pub(super) features: f32,
    /// Features whose mean is the shift.
    pub(super) shift_features: f32,
    /// Added to the variance.
    pub(super) epsilon: f32,
    /// 1.
    pub(super) one: f32,
}
