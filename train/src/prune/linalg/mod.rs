//! Dense linear algebra of symmetric positive definite matrices, in f32 and f64.
//!
//! All matrices are row-major slices. The level-3 parts run through the `gemm` crate on the calling thread, so that a result has the
//! same bits on any number of threads.

mod cholesky;
mod product;
mod real;
mod triangular;

pub(crate) use cholesky::{cholesky, inverse};
pub(crate) use product::{View, ViewMut, product};
pub(crate) use triangular::{solve_lower, solve_lower_transposed};
