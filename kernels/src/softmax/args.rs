//! What the kernel is called with.

use crate::LANES;
use crate::math::{EXP_MAGIC, EXP_MIN, EXP_POWERS, EXP_R, LOG2_E};

/// What the kernel is called with.
#[derive(Debug)]
#[repr(C)]
pub(super) struct SoftmaxArgs {
    /// The f32 tile.
    pub(super) x: *mut f32,
    /// [`Constants::TABLE`].
    pub(super) constants: *const Constants,
    /// Columns of this tile, 1..=64.
    pub(super) columns: usize,
}

/// Read-only memory the generated code points to.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Constants {
    pub(super) powers: [f32; LANES],
    pub(super) r: [f32; EXP_R.len()],
    pub(super) log2_e: f32,
    pub(super) magic: f32,
    pub(super) min: f32,
    pub(super) minus_infinity: f32,
    pub(super) one: f32,
}

impl Constants {
    pub(super) const TABLE: &'static Constants = &Constants {
        powers: EXP_POWERS,
        r: EXP_R,
        log2_e: LOG2_E,
        magic: EXP_MAGIC,
        min: EXP_MIN,
        minus_infinity: f32::NEG_INFINITY,
        one: 1.0,
    };
}
