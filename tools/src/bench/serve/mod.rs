//! `lacuna bench serve`: a running server under load.

mod args;
mod client;
mod load;
mod page;
mod report;

pub(super) use self::args::{Args, run};
