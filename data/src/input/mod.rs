//! Inputs of texts: lines, JSON lines, tables; from files of any size, pipes and keyboards.
//!
//! [`Input`] gives one [`Entry`] after the other, and tells whether the next one is already there. What is wrong with one entry is a [`Defect`] in
//! it, so that the rest can be read. The kind of a file follows from its name; a file of another kind is refused by name.

mod columns;
mod csv;
mod entry;
mod kind;
mod lines;
mod open;
#[cfg(feature = "parquet")]
mod parquet;
mod wait;
mod zstd;

pub use self::entry::{Content, Defect, Entry};
pub use self::kind::Kind;
pub use self::open::{Input, InputOptions, name_of};
