//! `lacuna compare`: is this faster than what I use now, on my machine, and does it compute the same thing?

mod engine;
mod engines;
mod error;
mod report;
mod row;

pub(crate) use error::EngineError;
