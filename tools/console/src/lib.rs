//! What the `lacuna` command and its comparison with other engines share.
//!
//! For the shell: [`args`] parses option values, [`context`] holds the tier and the threads, [`source`] names a model, [`zeros`] prunes it, [`error`] is
//! the one error type; [`process`] is what the system gives; [`input`] reads texts; [`output`], [`stream`], [`partial`], [`table`], [`remarks`] and [`progress`] print. For measurements: [`timing`] and [`stats`], [`limits`] and [`mod@machine`] facts of this
//! machine, and the [`products`] that are timed. This crate is a part of the command, not of the library: it makes no promise to others.

#![deny(unsafe_code)]

pub mod args;
pub mod context;
pub mod error;
pub mod interrupt;
pub mod limits;
pub mod machine;
pub mod output;
pub mod partial;
#[allow(unsafe_code)] // calls of the system that the standard library does not have
pub mod process;
pub mod products;
pub mod progress;
pub mod remarks;
pub mod sentences;
pub mod source;
pub mod stream;
pub mod table;
pub mod timing;
pub mod zeros;

pub use lacuna_data::{input, text};
pub use lacuna_measure::stats;
