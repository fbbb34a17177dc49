//! Products of weights and activations. A kind of product is one file here and one line in the list of `list.rs`; nothing else
//! knows the kinds.
//!
//! | file | holds |
//! | --- | --- |
//! | `job.rs` | what a product must compute, and what it reads |
//! | `kind.rs` | what a kind of product must implement, from its plan to its report |
//! | `sparse.rs`, `dense.rs`, `float.rs` | the kinds |
//! | `list.rs` | the list of the kinds, and products whose kind is forgotten |

mod dense;
mod float;
mod job;
mod kind;
mod list;
mod sparse;

pub(crate) use self::job::Operand;
pub(super) use self::job::{Computes, Job, JobWeights, Offer, Reads};
pub(super) use self::kind::InFile;
pub(crate) use self::list::{PackedProduct, PlannedProduct, Product};
pub(super) use self::list::{ProductEntry, ProductPlan, offers};
