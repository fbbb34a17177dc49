//! Packed models: everything that a calibrated model is run from, in one file that is mapped and used as it lies.
//!
//! Nothing is quantised, planned by cost or packed again when a [`PackedModel`] is opened: its checksums are compared, what generated
//! code relies on is checked, plans are made from their descriptors, and code is generated. Weights and tables stay in the mapping,
//! which all processes share. `docs/packed.md` has the format.

mod error;
mod file;
mod head;
mod header;
mod model;
mod writer;

pub use self::error::PackedError;
pub use self::file::{Section, is_packed};
pub use self::model::{Pack, PackedModel};

pub(crate) use self::file::PackedFile;
pub(crate) use self::model::Origin;
pub(crate) use self::writer::Sections;
