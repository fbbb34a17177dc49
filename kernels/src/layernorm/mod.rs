//! Layernorm of an f32 tile, and its quantisation to the panel the next linear layer reads, in one pass over memory.
//!
//! For each column n, over the F features:
//!
//! ```text
//! shift   = (sum_(f < S) x[f]) / S            S = min(F, 64)
//! mean    = shift - (sum_f d[f]) / F          d[f] = shift - x[f]
//! var     = (sum_f d[f]^2) / F - ((sum_f d[f]) / F)^2
//! rstd    = 1 / sqrt(max(var, 0) + epsilon)
//! y[f]    = (x[f] - mean) * rstd * gamma[f] + beta[f]                      f32 tile, in place: the residual stream
//! q[f]    = saturate_u8(round(fma(y[f], out_scale[f], out_zero[f])))       panel
//! ```
//!
//! **Shapes**: F x N, any F >= 1 and N >= 1.
//!
//! **Layout**: x and y are an f32 tile; q is a plain or VNNI panel of u8 ([`crate::layout`]). Parameters are
//! interleaved per feature ([`NormParams`]), so that one cache line holds those of four features.
//!
//! **Numerics**: mean and variance come from one pass over memory, about a shift that lies near the mean, so they do
//! not cancel as `E[x^2] - E[x]^2` does: `F var >= sum_(f < S) (x[f] - mean)^2 >= S (shift - mean)^2`, so the
//! subtracted square is at most F / S times the variance whatever the values are, and usually 1 / S of it. Sums run in
//! two chains over f mod 2, in ascending f, and are added in the end. y takes one rounding for the difference, one for
//! the product with rstd, one for the fused multiply-add. Rounding is to nearest even; a NaN becomes q = 0. A column
//! with a NaN or an infinity has NaN results; other columns are not affected. Padding features of the panel are zero;
//! those of the f32 tile are neither read nor written.
//!
//! **Errors**: [`KernelError`](crate::KernelError) for F = 0, N = 0, buffers of another size, parameters that are not
//! finite or could leave the range of s32.

mod args;
mod desc;
mod emit;
mod kernel;
mod params;
mod plan;
mod portable;
mod regs;

pub use desc::LayerNormDesc;
pub use kernel::LayerNormKernel;
pub use params::{NormParams, NormRows};
pub use plan::LayerNormPlan;
