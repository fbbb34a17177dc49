//! Optimisation: AdamW with masks, clipping and an average of the weights; schedules of rates and sparsities.

mod adamw;
mod head;
mod schedule;

pub use adamw::{AdamW, AdamWOptions};
pub use head::HeadAdamW;
pub use schedule::{CubicRamp, Decay, Schedule};
