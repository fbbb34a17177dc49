//! Pruning and distillation of Transformer encoders on CPUs.
//!
//! A dense model goes in; a model whose linear layers are zero in blocks comes out, with the accuracy that was kept measured. The
//! crate computes the encoder's forward and backward pass, prunes with second-order statistics, and trains what is left against the
//! dense model.
//!
//! | module | holds |
//! | --- | --- |
//! | [`product`] | linear products and their gradients |
//! | [`ops`] | the other operations and their gradients |
//! | [`encoder`] | parameters, forward and backward pass |
//! | [`head`] | heads: parameters, forward and backward pass |
//! | [`mask`] | which weights a student may have |
//! | [`optimise`] | AdamW and schedules |
//! | [`rounding`] | rounding as the int8 model rounds |
//! | [`distil`] | losses against a teacher, the training loop, checkpoints |
//! | [`prune`] | which weights become zero |
//!
//! Activations are features by tokens, [`Tiles`]; the tokens of a [`Batch`] have no padding. All work runs on the threads of the current
//! rayon pool, and gives the same bits on any number of them.

#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

mod batch;
mod cpu;
pub mod distil;
pub mod encoder;
mod error;
pub mod head;
pub mod mask;
pub mod ops;
pub mod optimise;
mod parameters;
pub mod product;
pub mod profile;
pub mod prune;
pub mod rounding;
mod tiles;

pub use batch::Batch;
pub use encoder::{Encoder, LinearKind, Saved};
pub use error::{Error, Result};
pub use tiles::Tiles;
