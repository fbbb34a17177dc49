//! The operations of an encoder but for its linear products, each with its gradient.
//!
//! Activations are [`Tiles`](crate::Tiles): features by tokens. Tasks are tiles, or sequences in attention, on the threads of the current
//! rayon pool. Every sum has a fixed order, so that results have the same bits on any number of threads.

mod activation;
mod attention;
mod columns;
mod embed;
mod math;
mod norm;
mod pool;
pub(crate) mod small;

pub use activation::{activate, activate_backward};
pub use attention::{AttentionSaved, attention, attention_backward};
pub use embed::{embed, embed_backward};
pub use norm::{NormSaved, norm, norm_backward};
pub use pool::{Pool, Pooled};
