//! What can be wrong with a packed file.

use std::path::{Path, PathBuf};

/// Errors of writing, opening and using packed files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackedError {
    /// The file could not be opened, mapped, written or moved to its place.
    #[error("{path}: cannot {action}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The operating system's answer.
        source: std::io::Error,
    },

    /// Not a packed file at all.
    #[error("{path}: not a packed model: found {found}; expected a file that lacuna pack wrote", path = path.display())]
    NotPacked {
        /// The file.
        path: PathBuf,
        /// What it is or how it begins.
        found: String,
    },

    /// A packed file of a version that this library does not read.
    #[error(
        "{path}: packed format version {found}; this version of lacuna reads {supported}: {remedy}",
        path = path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The versions that are read.
        supported: &'static str,
        /// What helps.
        remedy: &'static str,
    },

    /// A big-endian machine.
    #[error("{path}: packed models need a little-endian machine, and this one is big-endian: load the model directory", path = path.display())]
    BigEndian {
        /// The file.
        path: PathBuf,
    },

    /// A file in memory at an address from which it cannot be used in place.
    #[error("{path}: found bytes at an address {found} above a multiple of {expected}; expected a multiple of {expected}", path = path.display())]
    Alignment {
        /// What stands for the file's path.
        path: PathBuf,
        /// The address modulo `expected`.
        found: usize,
        /// Bytes of which the address must be a multiple.
        expected: usize,
    },

    /// The file is shorter or longer than its header says.
    #[error(
        "{path}: found {found} bytes; expected {expected} by its own header: copy or pack the file again",
        path = path.display()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        found: u64,
        /// The length it should have.
        expected: u64,
    },

    /// Bytes that are not those that were written.
    #[error(
        "{path}: damaged between bytes {start} and {end}: checksum {found:016x}; expected {expected:016x}: copy or pack \
         the file again",
        path = path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// First byte of the part.
        start: u64,
        /// One past its last byte.
        end: u64,
        /// The checksum of the part as it is.
        found: u64,
        /// The checksum that was written.
        expected: u64,
    },

    /// A header whose numbers contradict each other, although its checksum is right.
    #[error("{path}: invalid header: {field} is {found}; expected {expected}", path = path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Which number.
        field: &'static str,
        /// Its value.
        found: u64,
        /// What it must be.
        expected: String,
    },

    /// The manifest does not parse: it is damaged, or says what this version does not know.
    #[error("{path}: invalid manifest: {source}; was it packed by a newer lacuna?", path = path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Line, column and cause.
        source: serde_json::Error,
    },

    /// A section that is missing, is outside of the file, overlaps another one, or has the wrong length for its use.
    #[error("{path}: section {section:?}: found {found}; expected {expected}: pack the model again", path = path.display())]
    Section {
        /// The file.
        path: PathBuf,
        /// Its name.
        section: String,
        /// What is there.
        found: String,
        /// What belongs there.
        expected: String,
    },

    /// Parts of the file that contradict each other.
    #[error("{path}: {what}: found {found}; expected {expected}: pack the model again", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Which part.
        what: String,
        /// What it says.
        found: String,
        /// What it must say.
        expected: String,
    },

    /// Weights that no kernel takes.
    #[error("{path}: {what}: {source}", path = path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// Which part.
        what: String,
        /// What is wrong with it.
        source: Box<lacuna_kernels::KernelError>,
    },

    /// Something that needs f32 weights, which a packed file does not hold.
    #[error(
        "{path}: {what} needs the f32 weights, which a packed model does not hold; expected the model directory it was packed \
         from: {remedy}",
        path = path.display()
    )]
    NeedsWeights {
        /// The packed file.
        path: PathBuf,
        /// What was asked for.
        what: String,
        /// The way out.
        remedy: &'static str,
    },

    /// An option that was decided when the model was packed.
    #[error(
        "{option}: found {found}; expected none for a packed model, in which it is decided: pack the model again with it"
    )]
    Decided {
        /// The option.
        option: &'static str,
        /// Its value.
        found: String,
    },
}

impl PackedError {
    /// For `map_err`.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> PackedError {
        move |source| PackedError::Io { path: path.to_owned(), action, source }
    }
}
