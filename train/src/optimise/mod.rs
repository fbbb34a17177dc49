//! Optimisation: AdamW with masks, clipping and an average of the weights; schedules of rates and sparsities.

mod adamw;
mod schedule;

pub use adamw::{AdamW, AdamWOptions};
pub use schedule::{CubicRamp, Decay, Schedule};
