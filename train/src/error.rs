//! What can go wrong.

/// The error of this crate.
#[derive(Debug, thiserror::Error)]
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
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
