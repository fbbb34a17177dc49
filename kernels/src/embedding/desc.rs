//! What the caller wants.

/// An embedding wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EmbeddingDesc {
    /// Features F.
    pub features: usize,
}
