//! What the caller wants.

/// A softmax wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SoftmaxDesc {
    /// Features F.
    pub features: usize,
}
