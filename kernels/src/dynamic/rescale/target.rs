//! Where a rescaling writes.

use super::desc::RescaleOutput;
use crate::parallel::SharedMut;

/// Where a rescaling writes: what its plan's output says.
#[derive(Debug)]
pub enum RescaleTarget<'a> {
    /// Where the sums are.
    InPlace,
    /// The residual stream: an f32 tile that the results are added to.
    Residual(&'a mut [f32]),
    /// A panel.
    Panel(&'a mut [u8]),
}

impl RescaleTarget<'_> {
    pub(super) fn fits(&self, output: RescaleOutput) -> bool {
        matches!(
            (self, output),
            (RescaleTarget::InPlace, RescaleOutput::InPlace(_))
                | (RescaleTarget::Residual(_), RescaleOutput::Residual)
                | (RescaleTarget::Panel(_), RescaleOutput::Panel { .. })
        )
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            RescaleTarget::InPlace => "an f32 tile to be changed in place",
            RescaleTarget::Residual(_) => "an f32 tile to add to",
            RescaleTarget::Panel(_) => "a panel",
        }
    }
}

/// One tile of a target in plain Rust.
pub(super) enum TileTarget<'a> {
    InPlace,
    F32(&'a mut [f32]),
    Panel(&'a mut [u8]),
}

/// The target shared by the tiles of one call.
#[derive(Clone, Copy)]
pub(super) enum Shared {
    InPlace,
    Residual(SharedMut<f32>),
    Panel(SharedMut<u8>),
}

impl Shared {
    pub(super) fn at(self, element: usize) -> *mut u8 {
        match self {
            Shared::InPlace => std::ptr::null_mut(),
            Shared::Residual(x) => x.at(element).cast(),
            Shared::Panel(panel) => panel.at(element),
        }
    }

    /// # Safety
    /// - `len` elements from `element` on are inside the target and nobody else uses them now.
    pub(super) unsafe fn tile<'a>(self, element: usize, len: usize) -> TileTarget<'a> {
        match self {
            Shared::InPlace => TileTarget::InPlace,
            // SAFETY: the caller's promise.
            Shared::Residual(x) => TileTarget::F32(unsafe { std::slice::from_raw_parts_mut(x.at(element), len) }),
            // SAFETY: the caller's promise.
            Shared::Panel(q) => TileTarget::Panel(unsafe { std::slice::from_raw_parts_mut(q.at(element), len) }),
        }
    }
}
