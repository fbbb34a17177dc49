//! Layernorm of an f32 tile, and its quantisation to the panel the next linear layer reads, in one pass over memory.
//!
//! For each token (column) n, over the F features:
//!
//! ```text
//! mean    = (sum_f x[f]) / F
//! rstd    = 1 / sqrt((sum_f (x[f] - mean)^2) / F + epsilon)
//! y[f]    = (x[f] - mean) * rstd * gamma[f] + beta[f]                      f32 tile, in place: the residual stream
//! q[f]    = saturate_u8(round(fma(y[f], out_scale[f], out_zero[f])))       panel
//! ```
//!
//! **Shapes**: F x N, any F >= 1 and N >= 1.
//!
//! **Layout**: x and y are an f32 tile; q is a plain or VNNI panel of u8 ([`crate::layout`]). Parameters are interleaved per
//! feature ([`NormParams`]), so that one cache line holds those of four features.
//!
//! **Numerics**: the mean is exact to the rounding of its sum before deviations are squared (no E[x^2] - E[x]^2). Sums run in
//! four accumulators a0..a3 over f mod 4, in ascending f, added as (a0 + a1) + (a2 + a3). y takes one rounding for the
//! difference, one for the product with rstd, one for the fused multiply-add. Rounding is to nearest even; a NaN becomes
//! q = 0. A token with a NaN or an infinity has NaN results; other tokens are not affected. Padding features of the panel
//! are zero; those of the f32 tile are neither read nor written.
//!
//! **Errors**: [`KernelError`](crate::KernelError) for F = 0, N = 0, buffers of another size, parameters that are not
//! finite or could leave the range of s32.

mod desc;
mod emit;
mod kernel;
mod params;
mod plan;
mod portable;

pub use desc::{LayerNormDesc, LayerNormOutput};
pub use kernel::LayerNormKernel;
pub use params::{LayerNormWeights, NormParams};
pub use plan::LayerNormPlan;
