//! Optimisation: AdamW with masks, clipping and an average of the weights; schedules of rates and sparsities.

mod adamw;
mod group;
mod schedule;

pub use adamw::{AdamW, AdamWOptions};
pub use group::GroupAdamW;
pub use schedule::{CubicRamp, Decay, Schedule};
