//! How long the linear layers of a model take on this machine, by block shape and sparsity.
//!
//! | file | holds |
//! | --- | --- |
//! | `table.rs` | the times, and what lies between them |
//! | `measure.rs` | how they are measured |

mod measure;
mod table;

pub(crate) use self::measure::{TimeOptions, measure, time_of, timed};
#[cfg(test)]
pub(crate) use self::table::tests;
pub(crate) use self::table::{GROUPS, Times};
