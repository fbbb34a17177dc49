//! `lacuna serve`: models behind HTTP.

mod args;
mod files;
mod load;
mod log;
mod named;
mod run;
#[cfg_attr(not(feature = "otlp"), path = "no_traces.rs")]
mod traces;

pub(crate) use self::args::Args;
pub(crate) use self::run::run;
