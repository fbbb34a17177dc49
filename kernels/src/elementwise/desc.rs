//! What the caller wants.

use crate::Sink;

/// An element-wise function wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ElementwiseDesc {
    /// Features F.
    pub features: usize,
    /// Where the results go: a panel of codes, or f32 in place, which needs an activation. The activation is computed in f32 for
    /// either: [`crate::math::gelu`], not its coarse form.
    pub sink: Sink,
}
