//! `lacuna compare`: is this faster than what I use now, on my machine, and does it compute the same thing?

mod engine;
mod engines;
mod error;
mod row;

pub(crate) use error::EngineError;

use crate::context::Context;
use crate::error::Result;

#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, _: &Context) -> Result<()> { Ok(()) }
