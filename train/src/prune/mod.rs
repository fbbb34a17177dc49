//! Second-order pruning: which blocks of a matrix become zero, and what the kept weights become.
//!
//! [`one_shot`] prunes a whole model, first layer first. For every matrix:
//!
//! ```text
//! Moments -> Inputs, Target -> eliminate -> Losses -> choose -> Mask -> refit -> Linear
//! ```
//!
//! | file | holds |
//! | --- | --- |
//! | `moments` | sums over the tokens of calibration |
//! | `problem` | least squares: what a layer reads, and what it should compute |
//! | `eliminate` | what the removal of every block costs |
//! | `choose` | which blocks stay, in a matrix and over a model |
//! | `cut` | block shape and sparsity of a matrix |
//! | `budget` | the cuts that lose least within a time |
//! | `refit` | the kept weights and biases |
//! | `sensitivity` | what an error in an output, or at a token, costs the embedding |
//! | `permute`, `exchange` | orders of outputs that make blocks cheaper |
//! | `structured` | whole heads and neurons instead of blocks |
//! | `one_shot` | all of it, layer by layer |
//!
//! ```
//! # fn main() -> lacuna_train::Result<()> {
//! use lacuna_model::{Block, EncoderConfig, Model, Preset, seeded_ids};
//! use lacuna_train::prune::{OneShotOptions, one_shot};
//!
//! let shape = Preset::BertMini.config();
//! let config = EncoderConfig { vocab_size: 100, layers: 1, hidden_size: 32, heads: 2, intermediate_size: 64, ..shape };
//! let model = Model::seeded(config, 1)?;
//! let calibration = seeded_ids(100, 20, 16, 2);
//! let options = OneShotOptions::new(Block::B4x1, 0.75);
//! let pruned = one_shot(model.config(), model.weights(), &calibration, &options, &mut |_| {})?;
//! assert_eq!(pruned.masks[0][0].sparsity(), 0.75);
//! # Ok(())
//! # }
//! ```
//!
//! [`OneShotOptions::keep_zeros`] prunes a sparse model again, for example a student in the middle of its training: its zeros stay.
//!
//! When *not* to use it: it keeps most of the accuracy in minutes, and training what is left against the dense model keeps more
//! ([`distil`](crate::distil)).

mod budget;
mod choose;
mod cut;
mod eliminate;
mod error;
mod exchange;
mod forward;
mod grid;
mod linalg;
#[cfg(test)]
mod model_tests;
mod moments;
mod one_shot;
mod permute;
mod problem;
mod refit;
mod report;
mod select;
mod sensitivity;
mod structured;
#[cfg(test)]
mod tests;

pub use budget::{Point, Way, least_loss};
pub use choose::{Bounds, allocate, choose, lost};
pub use cut::{Cut, Cuts};
pub use eliminate::{Elimination, Losses, eliminate, eliminate_rest};
pub use error::PruneError;
pub use grid::{Grid, Mask};
pub use moments::Moments;
pub use one_shot::{OneShotOptions, Pruned, Sparsity, one_shot};
pub use permute::group_alike;
pub use problem::{Inputs, Target};
pub use refit::refit;
pub use report::{Answer, LayerReport, MatrixReport, Progress};
pub use sensitivity::Sensitivity;
pub use structured::{LayerCut, Smaller, Structure, remove};
