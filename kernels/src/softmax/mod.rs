//! Softmax over the features (rows) of each column of an f32 tile, in place.
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
//! **Numerics**: e^x by [`crate::math::exp`], relative error below 2e-7 + 2.7e-8 |x - max| (where e is not subnormal), in addition to
//! the rounding of x - max. Sums run in two accumulators over f mod 2, in descending f, and are added in the end. -inf gives exactly 0.
//! A column with a NaN or +inf, or with -inf in all features, is NaN in all features; other columns are not affected.
//!
//! **Errors**: [`KernelError`](crate::KernelError) for F = 0, N = 0, or a buffer of another size.
//!
//! When *not* to use it: in an encoder. [`crate::attention`] has its own softmax between its two products, without a pass over
//! memory. No model of this project runs this kernel; it is here for `bench softmax` and for callers that have a tile of scores.

mod args;
mod desc;
mod emit;
mod kernel;
mod plan;
mod portable;
mod regs;

pub use desc::SoftmaxDesc;
pub use kernel::SoftmaxKernel;
pub use plan::SoftmaxPlan;
