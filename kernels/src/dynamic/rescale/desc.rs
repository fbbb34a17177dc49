//! What the caller wants.

use crate::Sink;

/// A rescaling wanted. Biases and the scales of the panel are data ([`super::RescaleRows`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColumnRescaleDesc {
    /// Features M.
    pub features: usize,
    /// Where the results go: a panel of codes or an f32 tile. Without residual, f32 results replace the sums; with residual, they are
    /// added to another tile. The activation is computed in f32 for each: [`crate::math::gelu`], not its coarse form.
    pub sink: Sink,
}
