//! Softmax over the features (rows) of each token (column) of an f32 tile, in place.
//!
//! ```text
//! max     = max_f x[f]
//! e[f]    = e^(x[f] - max)
//! y[f]    = e[f] * (1 / sum_f e[f])
//! ```
//!
//! **Shapes**: F x N, any F >= 1 and N >= 1.
//!
//! **Layout**: an f32 tile ([`crate::layout`]). Padding features are neither read nor written.
//!
//! **Numerics**: e^x by [`crate::math::exp`], relative error below 2e-7 + 2.7e-8 |x - max| (where e is not subnormal), beside the
//! rounding of x - max. Sums run in two accumulators over f mod 2, in descending f, and are added in the end. -inf gives exactly 0.
//! A token with a NaN or +inf, or with nothing but -inf, is NaN in all features; other tokens are not affected.
//!
//! **Errors**: [`KernelError`](crate::KernelError) for F = 0, N = 0, or a buffer of another size.
//!
//! When *not* to use it: attention has its own, fused between its two products.

mod desc;
mod emit;
mod kernel;
mod portable;

pub use desc::{SoftmaxDesc, SoftmaxPlan};
pub use kernel::SoftmaxKernel;
