//! Kernels.
mod block;
pub use block::Block;
