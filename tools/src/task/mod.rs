//! What the commands that run a task of the library share: reading texts and records, running the task in batches, writing each result as it is
//! produced, and what is said about that.

mod args;
mod counted;
mod format;
mod gather;
mod identity;
mod isolate;
mod journal;
mod overlap;
mod policy;
mod reading;
mod ready;
mod remarks;
mod run;
mod running;
mod sink;
mod summary;
mod trace;
mod truncations;

pub(crate) use self::args::TaskArgs;
pub(crate) use self::format::{OutputKind, output_kind};
pub(crate) use self::isolate::{Isolated, run as run_isolated};
pub(crate) use self::overlap::check_overlap;
pub(crate) use self::policy::{BadLine, OnError};
pub(crate) use self::reading::Reading;
pub(crate) use self::remarks::of_head;
pub(crate) use self::run::{Extra, Work};
pub(crate) use self::sink::Sink;
