//! Texts and gold answers in files: reading them, and what is measured on them.
//!
//! | module | holds |
//! | --- | --- |
//! | [`input`] | texts of lines, JSON lines and tables, one after the other |
//! | [`text`] | all texts of a file at once |
//! | [`gold`] | files of gold answers, one per task, and their metrics |
//! | [`pairs`] | sentence pairs with scores |
//! | [`isolate`] | running a task so that a record that fails does not take the others with it |
//! | [`words`] | counts, sizes and names of options in messages |
//! | [`standard`] | the standard streams that were closed when the process began |
//!
//! The command, its comparison and `lacuna-compress` share this crate. It writes nothing, and makes no promise to other programs.
//!
//! Messages write an option in backticks: `` `train_pairs` ``. A command replaces that by its own spelling, see [`words::dashed`].

#![deny(missing_docs, unsafe_op_in_unsafe_fn)]
#![deny(unsafe_code)]

mod error;
pub mod gold;
pub mod input;
pub mod isolate;
mod metrics;
pub mod pairs;
#[allow(unsafe_code)] // a call of the system that the standard library does not have
pub mod standard;
pub mod text;
pub mod words;

pub use error::{Error, Result};
