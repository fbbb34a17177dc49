//! What the kernel is called with.

use super::params::QuantParams;

/// What the kernel is called with.
#[derive(Debug)]
#[repr(C)]
pub(super) struct ElementwiseArgs {
    /// The f32 tile, which is written if there is no panel.
    pub(super) x: *mut f32,
    /// The panel's tile, if one is written.
    pub(super) panel: *mut u8,
    /// Parameters of the first feature, if a panel is written.
    pub(super) params: *const QuantParams,
    /// [`crate::epilogue::Constants::address`].
    pub(super) constants: *const u8,
    /// Columns of this tile, 1..=64.
    pub(super) columns: usize,
}
