//! Softmax over the features (rows) of each token (column) of an f32 tile, in place.
//!
//! ```text
//! max     = max_f x[f]
//! e[f]    = 2^(max((x[f] - max) log2(e), -200))
//! y[f]    = e[f] * (1 / sum_f e[f])
//! ```
//!
//! **Shapes**: F x N, any F >= 1 and N >= 1.
//!
//! **Layout**: an f32 tile ([`crate::layout`]). Padding features are neither read nor written.
//!
//! **Numerics**: 2^t by [`crate::math::EXP2_FINE`], one rounding per operation, to nearest even. The rounding of
//! t = (x - max) log2(e) is magnified by |t|: the relative error of e is below 2e-7 + 1.4e-7 |x - max| (where e is not
//! subnormal), its absolute error below 3e-7.
//! Sums run in four accumulators over f mod 4, in ascending f, added as (a0 + a1) + (a2 + a3). -inf gives exactly 0.
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
