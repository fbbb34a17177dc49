//! Files of named sections after a manifest, with checksums, that are mapped and used in place. The meaning of the sections is defined by
//! those who write them; `docs/packed.md` has the format.

mod deflate;
mod error;
mod file;
mod header;
mod manifest;
mod writer;

pub use self::error::PackedError;
pub use self::manifest::Section;

pub(crate) use self::file::PackedFile;
pub(crate) use self::writer::Sections;
