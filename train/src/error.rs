//! What can go wrong.

use std::path::PathBuf;

/// The error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A kernel refused its arguments or could not be made.
    #[error(transparent)]
    Kernel(#[from] lacuna_kernels::KernelError),
    /// A model could not be read, or its parts do not fit each other.
    #[error(transparent)]
    Model(#[from] lacuna_model::Error),
    /// A model could not be pruned.
    #[error(transparent)]
    Prune(#[from] crate::prune::PruneError),
    /// Two parts that belong together have different sizes.
    #[error("{what}: found {found}; expected {expected}")]
    Size {
        /// The part, and what was counted.
        what: &'static str,
        /// The size that it has.
        found: usize,
        /// The size that it must have.
        expected: usize,
    },
    /// A setting has a value that means nothing.
    #[error("{setting} is {found}; expected {expected}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// Who was told of the progress ended the work.
    #[error("the work was stopped")]
    Stopped,
    /// A computation gave NaN or an infinity.
    #[error("step {step}: {place} has values that are not finite")]
    NonFinite {
        /// The step of the training loop, from 0.
        step: u64,
        /// The first layer with such values, or the loss.
        place: String,
    },
    /// A file could not be read or written.
    #[error("{path}: cannot {action}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A file is not a checkpoint of this training.
    #[error("{path}: {reason}", path = path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Refuses a size that differs from the one that is needed.
///
/// # Errors
/// [`Error::Size`].
pub(crate) fn check_size(what: &'static str, found: usize, expected: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(Error::Size { what, found, expected }) }
}
