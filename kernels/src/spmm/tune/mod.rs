//! The planner: which schedule is fastest, by a model or by measurement, and how the choice is kept.
//!
//! The constants of the model were fitted on a Zen 5 core at 512 bits (docs/measurements.md). Only the order of candidates counts, and
//! on other CPUs it may differ. [`Tuning::Measure`] times the candidates on the machine itself.

mod cost;
mod measure;
mod table;
mod tuner;

pub use table::{TuningError, TuningTable};
pub use tuner::{Candidate, Tuner, Tuning};
