//! What can go wrong when a model is pruned.

use lacuna_model::Block;

/// The error of [`crate::prune`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// A sparsity is not a fraction below 1.
    #[error("sparsity {found} is not at least 0 and below 1")]
    Sparsity {
        /// The value.
        found: f64,
    },
    /// Dense matrices have no blocks to remove.
    #[error("block shape {block} has no zeros")]
    NoBlocks {
        /// The shape.
        block: Block,
    },
    /// A setting is outside its range.
    #[error("{setting} is {found}; expected {expected}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// Its value.
        found: f64,
        /// What is allowed.
        expected: &'static str,
    },
    /// Elimination ended before enough blocks were removed, or bounds of the allocation forbid the sparsity.
    #[error("{matrix}: sparsity {wanted:.4} cannot be reached; {reachable:.4} can")]
    Unreachable {
        /// The matrix, as `layer.name`, or `model`.
        matrix: String,
        /// The wanted fraction of zero blocks.
        wanted: f64,
        /// The fraction that can be reached.
        reachable: f64,
    },
    /// No choice is fast enough.
    #[error("{wanted:.3e} s cannot be reached; {reachable:.3e} s can")]
    Time {
        /// Seconds that were wanted.
        wanted: f64,
        /// Seconds that the fastest choice takes.
        reachable: f64,
    },
    /// Inputs, weights or their moments are NaN or infinite.
    #[error("{matrix}: {what} are not finite")]
    NonFinite {
        /// The matrix, as `layer.name`.
        matrix: String,
        /// What is not finite.
        what: &'static str,
    },
    /// Second moments are not positive definite, even after damping.
    #[error("{matrix}: second moments are not positive definite at input {input}; more damping or more tokens help")]
    NotPositive {
        /// The matrix, as `layer.name`.
        matrix: String,
        /// The input feature at which the Cholesky factor ends.
        input: usize,
    },
    /// Shapes do not fit each other.
    #[error("{what}: {found} found, {expected} expected")]
    Shape {
        /// What was compared.
        what: &'static str,
        /// The size that was given.
        found: usize,
        /// The size that fits.
        expected: usize,
    },
    /// No tokens to measure with.
    #[error("calibration needs at least one token")]
    NoTokens,
}

impl PruneError {
    /// Refuses a size that differs from the one that fits.
    pub(super) fn fit(what: &'static str, found: usize, expected: usize) -> Result<(), PruneError> {
        if found == expected { Ok(()) } else { Err(PruneError::Shape { what, found, expected }) }
    }
}
