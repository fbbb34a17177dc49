//! Pruning and distillation of Transformer encoders on CPUs.
//!
//! A dense model goes in; a model whose linear layers are zero in blocks comes out, with the accuracy that was kept measured. The
//! crate computes the encoder's forward and backward pass, prunes with second-order statistics, and trains what is left against the
//! dense model.

#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

mod error;
pub mod prune;

pub use error::{Error, Result};
