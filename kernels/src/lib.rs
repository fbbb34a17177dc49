//! The kernels of Lacuna, each as descriptor -> plan -> code -> kernel, each with a scalar reference.
//!
//! (Overview table follows when all kernels are in.)

#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

pub mod attention;
mod block;
mod buffer;
pub mod cache;
pub mod elementwise;
pub mod embedding;
pub mod epilogue;
mod error;
pub mod gemm;
pub mod layernorm;
pub mod layout;
pub mod math;
mod output;
mod parallel;
pub mod pattern;
pub mod peak;
mod plan;
pub mod reference;
mod rows;
pub mod softmax;
pub mod spmm;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

pub use block::Block;
pub use buffer::Buffer;
pub use error::KernelError;
pub use layout::{LANES, PanelLayout, Sign, TILE, VECTORS};
pub use output::Output;
pub use parallel::Parallel;
pub use plan::{GENERATOR_VERSION, Plan};
