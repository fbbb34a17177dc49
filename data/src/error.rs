//! What can go wrong with a file.

use std::io;
use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// From the library.
    #[error(transparent)]
    Library(#[from] lacuna::Error),
    /// A file could not be read.
    #[error("{path}: cannot {action}: {source}", path = .path.display())]
    Io {
        /// The file, or "standard input".
        path: PathBuf,
        /// "read", "open", ...
        action: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A file that holds something else than it is read as.
    #[error("{path}: found {what}", path = .path.display())]
    Content {
        /// The file, or "standard input".
        path: PathBuf,
        /// What it is, what is expected, and what to do.
        what: &'static str,
    },
    /// A line of the input that gives no result.
    #[error("{path}: line {line}: {reason}", path = .path.display())]
    Line {
        /// The file, or "standard input".
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What was found and what was expected.
        reason: String,
    },
    /// A line that is not what the file should hold.
    #[error("{path}: line {line}: found {found}; expected {expected}", path = .path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is there.
        found: String,
        /// What should be.
        expected: &'static str,
    },
    /// An option that does not go with the file or with the model.
    #[error("{option}: found {found}; expected {expected}")]
    Argument {
        /// The option.
        option: &'static str,
        /// Its value.
        found: String,
        /// What would be right.
        expected: String,
    },
}

impl Error {
    /// An [`Error::Io`] maker for `map_err`.
    pub fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { path: path.to_owned(), action, source }
    }

    /// A maker for `map_err` of the error for a file that is read as a whole.
    pub fn unread(path: &Path) -> impl FnOnce(lacuna_files::ReadError) -> Error {
        move |error| Error::io(path, "read")(error.into())
    }
}
