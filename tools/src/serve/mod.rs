//! `lacuna serve`: models behind HTTP.

mod args;
mod files;
mod load;
mod log;
mod named;
mod run;

pub(crate) use self::args::Args;
pub(crate) use self::run::run;
