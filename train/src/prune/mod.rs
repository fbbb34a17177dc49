//! Second-order pruning: which blocks of a matrix become zero, and what the kept weights become.

mod error;
mod grid;
mod linalg;
mod moments;

pub use error::PruneError;
pub use grid::{Grid, Mask};
pub use moments::Moments;
