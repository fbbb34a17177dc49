//! An encoder in f32: read from files, made of parts or of random numbers, pruned, written.

#[allow(clippy::module_inception)] // the type itself
mod model;
mod open;
mod parts;
mod write;

pub use self::model::{LinearZeros, Model, Timings};
pub use self::open::OpenOptions;
