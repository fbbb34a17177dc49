//! Files of named sections behind a manifest, with checksums, that are mapped and used as they lie. What the sections mean is said by
//! those who write them; `docs/packed.md` has the format.

mod error;
mod file;
mod header;
mod manifest;
mod writer;

pub use self::error::PackedError;
pub use self::manifest::Section;

pub(crate) use self::file::PackedFile;
pub(crate) use self::writer::Sections;
