//! How long the linear layers of a model take on this machine, by block shape and sparsity.
//!
//! | file | holds |
//! | --- | --- |
//! | `table.rs` | the times, and what lies between them |
//! | `measure.rs` | how they are measured |

mod measure;
mod table;

pub use self::measure::{TimeOptions, measure};
pub(crate) use self::measure::{time_of, timed};
#[cfg(test)]
pub(crate) use self::table::tests;
pub use self::table::{GROUPS, Group, Row, Times};
