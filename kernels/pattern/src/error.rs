//! What can be wrong with the shape of a matrix or of its blocks.

use crate::Block;

/// Errors of shapes and patterns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A dimension that no kernel can have.
    #[error("{kernel}: {dimension} is {found}, expected {expected}")]
    Dimension {
        /// The kind of kernel.
        kernel: &'static str,
        /// Which dimension: M or K.
        dimension: &'static str,
        /// Its value.
        found: usize,
        /// What is possible.
        expected: &'static str,
    },
    /// Weights whose number does not fit the shape.
    #[error("{kernel}: {buffer} has {found} elements, expected {expected}")]
    Length {
        /// Kernel name.
        kernel: String,
        /// Which buffer.
        buffer: &'static str,
        /// Its length in elements.
        found: usize,
        /// The length that the shape demands.
        expected: usize,
    },
    /// A block shape that has no pattern.
    #[error("no {kernel} kernel for block shape {found}; expected {expected}")]
    Block {
        /// The kind of kernel.
        kernel: &'static str,
        /// The block shape.
        found: Block,
        /// Shapes that have one.
        expected: &'static str,
    },
}
