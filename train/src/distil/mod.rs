//! Distillation: a student is trained to have the hidden states and the embeddings of its teacher, or the logits of its head.

mod checkpoint;
mod logits;
mod losses;
mod options;
mod quants;
mod ramp;
mod run;
mod sample;
mod scores;
mod tables;
mod task;
mod tensor_file;

pub use logits::{label_loss, logit_loss, value_loss};
pub use losses::{LossWeights, Losses, add_difference, embedding_losses, layer_map, squared_error};
pub use options::{DistilOptions, Distilled, Events, Length, Progress};
pub use ramp::{Pruning, Ramp};
pub use run::Distiller;
pub use sample::{Drawn, Sampler, Source};
pub use scores::{ScoredPair, score_loss};
pub use task::{HeadPair, LogitForm};
