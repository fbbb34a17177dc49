//! The planner: which schedule is fastest, by a model or by measurement, and how the choice is kept.
//!
//! The model counts the operations of the group loops by their port classes, and takes the rates of the machine from its
//! [`Facts`](crate::machine::Facts). Its other constants were fitted on a Zen 5 core and on Sapphire Rapids (docs/measurements.md).
//! Only the order of candidates counts. [`Tuning::Measure`] times the candidates on the machine itself.

mod avx2;
mod cost;
mod counts;
mod measure;
mod table;
mod tuner;

pub use table::{TuningError, TuningTable};
pub use tuner::{Candidate, Tuner, Tuning};
