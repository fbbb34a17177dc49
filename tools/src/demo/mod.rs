//! `lacuna demo`: the shipped model on real sentences, or the whole pipeline on a made-up model; checked and timed.

mod args;
mod check;
mod random;
mod run;
mod sentences;
mod shipped;
mod times;

pub(crate) use self::args::Args;
pub(crate) use self::run::run;
