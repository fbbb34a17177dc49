//! Second-order pruning: which blocks of a matrix become zero, and what the kept weights become.
//!
//! ```text
//! Moments -> Inputs, Target -> eliminate -> Losses -> choose -> Mask -> refit -> Linear
//! ```

mod choose;
mod eliminate;
mod error;
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

pub use choose::{Bounds, allocate, choose};
pub use eliminate::{Elimination, Losses, eliminate};
pub use error::PruneError;
pub use grid::{Grid, Mask};
pub use moments::Moments;
pub use one_shot::{OneShotOptions, Pruned, Sparsity, one_shot};
pub use permute::group_alike;
pub use problem::{Inputs, Target};
pub use refit::refit;
pub use report::{LayerReport, MatrixReport, Progress};
pub use sensitivity::Sensitivity;
pub use structured::{Smaller, Structure, remove};
