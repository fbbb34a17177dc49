//! What can go wrong.

use std::io;
use std::path::{Path, PathBuf};

use lacuna::ErrorKind;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// From the library.
    #[error(transparent)]
    Library(#[from] lacuna::Error),
    /// Pruning or training.
    #[error(transparent)]
    Train(Box<lacuna_train::Error>),
    /// A file of texts or of gold answers.
    #[error(transparent)]
    Data(#[from] lacuna_data::Error),
    /// No tier of this machine.
    #[error(transparent)]
    Tier(#[from] lacuna_jit::JitError),
    /// A file could not be read or written.
    #[error("{path}: cannot {action}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// "read", "create", "write", ...
        action: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A disk with too little room for what a run would write.
    #[error("{path}: found {free} bytes free on its disk; expected at least {needed} for what this run writes", path = .path.display())]
    Room {
        /// The file or folder.
        path: PathBuf,
        /// Free bytes.
        free: u64,
        /// About what is needed, in bytes.
        needed: u64,
    },
    /// An interrupted run cannot be resumed as it is asked for.
    #[error("`resume`: {path}: found {found}; expected {expected}", path = .path.display())]
    Resume {
        /// The options of the checkpoint.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What would be right, and what to do.
        expected: String,
    },
    /// An option that is wrong, alone or together with others, with the model or with this machine. Options that the texts name are in backticks, as
    /// their fields are called.
    #[error("{option}: found {found}; expected {expected}")]
    Argument {
        /// The option, in backticks.
        option: &'static str,
        /// Its value.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// A thread pool could not be started.
    #[error("cannot start {threads} threads: {source}; choose fewer with `threads`")]
    Threads {
        /// How many.
        threads: usize,
        /// The cause.
        source: rayon::ThreadPoolBuildError,
    },
    /// The run was stopped. No result was written. If the training had begun, its checkpoint is there.
    #[error("the run was stopped; with `resume` it goes on from its checkpoint")]
    Stopped,
}

impl From<lacuna::errors::ModelError> for Error {
    fn from(error: lacuna::errors::ModelError) -> Error {
        Error::Library(error.into())
    }
}

impl From<lacuna::errors::PackedError> for Error {
    fn from(error: lacuna::errors::PackedError) -> Error {
        Error::Library(error.into())
    }
}

impl From<lacuna_train::Error> for Error {
    fn from(error: lacuna_train::Error) -> Error {
        match error {
            lacuna_train::Error::Stopped => Error::Stopped,
            error => Error::Train(Box::new(error)), // it is larger than the others
        }
    }
}

impl Error {
    /// What can be done about it, in the kinds of the library.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Library(error) => error.kind(),
            Error::Train(error) => of_training(error),
            Error::Data(error) => of_data(error),
            Error::Io { source, .. } => of_io(source),
            Error::Room { .. } => ErrorKind::Io,
            Error::Resume { .. } | Error::Argument { .. } => ErrorKind::InvalidOption,
            Error::Tier(_) | Error::Threads { .. } => ErrorKind::Machine,
            Error::Stopped => ErrorKind::Cancelled,
        }
    }

    /// An [`Error::Io`] maker for `map_err`.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { path: path.to_owned(), action, source }
    }
}

fn of_io(error: &io::Error) -> ErrorKind {
    if error.kind() == io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Io }
}

fn of_data(error: &lacuna_data::Error) -> ErrorKind {
    use lacuna_data::Error as Data;
    match error {
        Data::Library(error) => error.kind(),
        Data::Io { source, .. } => of_io(source),
        Data::Argument { .. } => ErrorKind::InvalidOption,
        _ => ErrorKind::InvalidFile,
    }
}

fn of_training(error: &lacuna_train::Error) -> ErrorKind {
    use lacuna_train::Error as Train;
    match error {
        Train::Io { source, .. } => of_io(source),
        Train::Checkpoint { .. } => ErrorKind::InvalidFile,
        Train::Setting { .. } | Train::Prune(_) => ErrorKind::InvalidOption,
        // Weights or texts with which a training diverges.
        Train::NonFinite { .. } => ErrorKind::InvalidInput,
        _ => ErrorKind::Internal,
    }
}
