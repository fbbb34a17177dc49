//! `config.json`: the shape of an encoder.

mod encoder;
mod pruned_heads;
mod raw;
mod write;

pub use self::encoder::{Activation, EncoderConfig};
