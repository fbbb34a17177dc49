//! Products of weights and activations. A kind of product is one file here and one line in the list of `any.rs`; nothing else
//! knows the kinds.
//!
//! | file | holds |
//! | --- | --- |
//! | `job.rs` | what a product must compute, and what it reads |
//! | `kind.rs` | what a kind of product must say of itself, from its plan to its report |
//! | `sparse.rs`, `dense.rs`, `float.rs` | the kinds |
//! | `any.rs` | the list of the kinds, and products whose kind is forgotten |

mod any;
mod dense;
mod float;
mod job;
mod kind;
mod sparse;

pub(crate) use self::any::{PackedProduct, PlannedProduct, Product};
pub(super) use self::any::{ProductEntry, ProductPlan, offers};
pub(crate) use self::job::Operand;
pub(super) use self::job::{Computes, Job, JobWeights, Offer, Reads};
pub(super) use self::kind::InFile;
