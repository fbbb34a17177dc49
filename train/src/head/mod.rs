//! Heads that are trained with their encoder: their parameters, their forward and their backward pass.
//!
//! | head | logits | a row of logits is of |
//! | --- | --- | --- |
//! | sequence classification | `out(activation(dense(x[0])))` | a sequence, from its first token |
//! | token classification, question answering | `out(x[n])` | a token |
//!
//! What they compute is what [`HeadWeights::logits`](lacuna_model::heads::HeadWeights::logits) computes.

mod layers;
mod new;
mod trained;

pub use layers::HeadLayers;
pub use new::new_classification;
pub use trained::{HeadSaved, TrainedHead};
