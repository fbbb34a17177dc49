//! What can be wrong with a kernel's description or its arguments.

use lacuna_jit::JitError;
use lacuna_pattern::PatternError;

use crate::machine::Implausible;

/// Errors of planning, generating and calling kernels.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// A dimension that the kernel does not support.
    #[error("{kernel}: {dimension} is {found}, expected {expected}")]
    Dimension {
        /// The kind of kernel.
        kernel: &'static str,
        /// Which dimension: M, K, N, head size, ...
        dimension: &'static str,
        /// Its value.
        found: usize,
        /// What is possible.
        expected: &'static str,
    },
    /// A buffer whose length does not fit the shapes.
    #[error("{kernel}: {buffer} has {found} elements, expected {expected}")]
    Length {
        /// Kernel name.
        kernel: String,
        /// Which buffer.
        buffer: &'static str,
        /// Its length in elements.
        found: usize,
        /// The length that the shapes demand.
        expected: usize,
    },
    /// A scale, addend or multiplier that would not give a meaningful result.
    #[error("{kernel}: {parameter} of row {row} is {found}, expected {expected}")]
    Parameter {
        /// Kernel name.
        kernel: String,
        /// Which parameter.
        parameter: &'static str,
        /// Output feature.
        row: usize,
        /// Its value.
        found: f32,
        /// What is possible.
        expected: &'static str,
    },
    /// A token id outside the embedding table.
    #[error("token id {found} at position {position}, expected less than {expected} (the vocabulary size)")]
    TokenId {
        /// Position in the batch.
        position: usize,
        /// The id.
        found: u32,
        /// Rows of the table.
        expected: usize,
    },
    /// A block shape without a kernel.
    #[error("no {kernel} kernel for block shape {found}; expected {expected}")]
    Block {
        /// The kind of kernel.
        kernel: &'static str,
        /// The block shape.
        found: crate::Block,
        /// Shapes that have one.
        expected: &'static str,
    },
    /// An instruction set extension that this CPU does not have.
    #[error("{kernel}: this CPU lacks {feature}; {hint}")]
    Feature {
        /// Kernel name.
        kernel: String,
        /// The extension.
        feature: &'static str,
        /// What runs instead.
        hint: &'static str,
    },
    /// Code was requested for a plan that runs in plain Rust.
    #[error("{kernel} has no machine code: portable kernels are plain Rust")]
    NoCode {
        /// Kernel name.
        kernel: String,
    },
    /// Weights or arguments prepared for another kernel.
    #[error("{kernel}: given {found}, expected {expected}")]
    Mismatch {
        /// Kernel name.
        kernel: String,
        /// What was given.
        found: String,
        /// What fits.
        expected: String,
    },
    /// A section of packed weights that no packing writes.
    #[error("{kernel}: packed {section}: found {found}, expected {expected}; pack the model again")]
    Section {
        /// Kernel name.
        kernel: String,
        /// Which section.
        section: &'static str,
        /// What is in it.
        found: String,
        /// What belongs there.
        expected: String,
    },
    /// A measurement of the machine that no CPU gives.
    #[error("measuring this machine: {0}; try again when less runs beside it")]
    Facts(#[from] Implausible),
    /// Code generation or executable memory.
    #[error(transparent)]
    Jit(#[from] JitError),
}

impl From<PatternError> for KernelError {
    fn from(error: PatternError) -> KernelError {
        match error {
            PatternError::Dimension { kernel, dimension, found, expected } => {
                KernelError::Dimension { kernel, dimension, found, expected }
            }
            PatternError::Length { kernel, buffer, found, expected } => {
                KernelError::Length { kernel, buffer, found, expected }
            }
            PatternError::Block { kernel, found, expected } => KernelError::Block { kernel, found, expected },
        }
    }
}
