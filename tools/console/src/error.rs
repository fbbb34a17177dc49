//! The one error type of the command.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lacuna_data::words::dashed;

/// Exit status after an interruption: 128 and the signal's number, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// Result of the command's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that makes the command exit with another code than 0.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// From the model library.
    #[error(transparent)]
    Library(#[from] lacuna::Error),
    /// From a kernel.
    #[error(transparent)]
    Kernel(#[from] lacuna_kernels::KernelError),
    /// Pruning or training.
    #[error(transparent)]
    Train(Box<lacuna_train::Error>),
    /// Tier selection or code generation.
    #[error(transparent)]
    Jit(#[from] lacuna_jit::JitError),
    /// A file of chosen schedules.
    #[error(transparent)]
    Tuning(#[from] lacuna::errors::TuningError),
    /// A file could not be read or written.
    #[error("{path}: cannot {action}: {source}", path = .path.display())]
    Io {
        /// The file, or "standard input".
        path: PathBuf,
        /// "read", "create", "write", ...
        action: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Standard output does not take what is written to it.
    #[error("standard output: cannot write: {0}")]
    Stdout(io::Error),
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
    /// An interrupted run cannot be resumed as it is asked for.
    #[error("--resume: {path}: found {found}; expected {expected}", path = .path.display())]
    Resume {
        /// The partial results.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What would be right, and what to do.
        expected: String,
    },
    /// Partial results that another run has.
    #[error(
        "{path}: found another run that writes it; expected none: wait for its end, or choose another --output",
        path = .path.display()
    )]
    Busy {
        /// The partial results.
        path: PathBuf,
    },
    /// A line of a pairs file that is no pair with a score.
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
    /// An argument that is only wrong together with others, or with this machine.
    #[error("{option}: found {found}; expected {expected}")]
    Argument {
        /// The option.
        option: &'static str,
        /// Its value.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// An error whose message is complete.
    #[error("{0}")]
    Said(String),
    /// An engine of a comparison.
    #[error(transparent)]
    Engine(Box<dyn std::error::Error + Send + Sync>),
    /// A thread pool could not be started.
    #[error("cannot start {threads} threads: {source}; choose fewer with --threads")]
    Threads {
        /// How many.
        threads: usize,
        /// The cause.
        source: rayon::ThreadPoolBuildError,
    },
    /// The user stopped the command; what there was is printed.
    #[error("interrupted: what was measured until then is above")]
    Interrupted,
    /// The command ran, and what it checks is not so.
    #[error("check failed: {0}")]
    Check(String),
}

impl From<lacuna::errors::ModelError> for Error {
    fn from(error: lacuna::errors::ModelError) -> Error {
        Error::Library(error.into())
    }
}

impl From<lacuna_data::Error> for Error {
    fn from(error: lacuna_data::Error) -> Error {
        use lacuna_data::Error as Data;
        match error {
            Data::Library(error) => Error::Library(error),
            Data::Io { path, action, source } => Error::Io { path, action, source },
            Data::Content { path, what } => Error::Content { path, what },
            Data::Line { path, line, reason } => Error::Line { path, line, reason },
            Data::Row { path, line, found, expected } => Error::Row { path, line, found, expected },
            other => Error::Said(dashed(&other.to_string(), &["labelled"])),
        }
    }
}

impl From<lacuna_train::Error> for Error {
    fn from(error: lacuna_train::Error) -> Error {
        Error::Train(Box::new(error)) // it is larger than the others
    }
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

    /// The message with line breaks (of messages from outside) replaced.
    pub fn one_line(&self) -> String {
        let lines = self.to_string();
        let parts: Vec<&str> = lines.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        parts.join("; ")
    }

    /// Whether the reader of standard output has gone, which is its right and no failure.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Error::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// 1 for a failed check, 130 after an interruption, 2 for everything else.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Check(_) => ExitCode::from(1),
            Error::Interrupted => ExitCode::from(INTERRUPTED),
            _ => ExitCode::from(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_line() {
        let error = Error::Check("first\n  second\n\nthird\n".into());
        assert_eq!(error.one_line(), "check failed: first; second; third");
    }
}
