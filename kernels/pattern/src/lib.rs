//! Block shapes, and which blocks of a weight matrix hold a weight other than zero.
//!
//! It also has how many bits the codes of activations have. The kernels plan by these types, and models are pruned by them. They need no code generation.

#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

mod bits;
mod block;
mod error;
mod nonzero;
mod pattern;
mod shape;

pub use bits::ActivationBits;
pub use block::Block;
pub use error::PatternError;
pub use nonzero::nonzero_blocks;
pub use pattern::BlockPattern;
pub use shape::{MAX_K, MAX_M, check_shape, sparse_shape};
