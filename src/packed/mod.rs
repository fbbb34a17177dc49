//! Packed models: everything that is needed to run a calibrated model, in one file that is mapped and used in place.
//!
//! Nothing is quantised, planned by cost or packed again when a [`PackedModel`] is opened: its checksums are compared, what generated
//! code relies on is checked, plans are made from their descriptors, and code is generated. Weights and tables stay in the mapping,
//! which all processes share. `docs/packed.md` has the format.

mod entry;
mod head;
mod model;
mod open;
mod origin;
mod pooling;
mod write;

pub use self::model::PackedModel;

pub(crate) use self::model::TextSettings;
pub(crate) use self::origin::Origin;
