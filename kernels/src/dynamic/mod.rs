//! Activations whose scale is found when the model runs, column by column: into a panel of codes, and out of the product's sums.
//!
//! Between the two, [`gemm`](crate::gemm) or [`spmm`](crate::spmm) with f32 output compute
//! `t[m][n] = multiplier[m] acc[m][n] + addend[m]`, where weights carry the scales per feature and the addend the share of
//! [`zero_code`].
//!
//! ```text
//! quantise   d[k][n]  = x[k][n] inverse[k]                              inverse[k] = 1 / feature scale, relative
//!            scale[n] = max(2^-100, max_k |d[k][n]|) / c                one f32 per column; c = 127, with codes of seven bits 63
//!            code     = round(fma(d[k][n], c / max, c + 1))             u8 panel, 1..=255; with seven bits 1..=127
//! rescale    y[m][n]  = fma(t[m][n], scale[n], bias[m])
//!            t        = activation(y)                                   f32 tile, in place
//!            x        = x + activation(y)                               f32 tile: the residual stream
//!            q        = saturate(round(fma(activation(y), out_scale[m], out_zero[m])))      u8 or s8 panel
//! ```
//!
//! **Shapes**: x is K x N, t is M x N; any K, M, N >= 1. Scales have one element per column of whole tiles.
//!
//! **Layout**: f32 tiles, plain or VNNI panels ([`crate::layout`]); scales in natural order.
//!
//! **Numerics**: every operation above rounds once, to nearest even. A column of zeros has the code c + 1 everywhere. A column with a
//! NaN has a NaN scale and the code 0 everywhere. A column with an infinity has an infinite scale, the code 0 there and c + 1
//! elsewhere: its results are NaN or infinite (the least byte in a panel). The results of other columns are not affected. A q outside s32, or NaN,
//! becomes the least byte, as in [`crate::elementwise`]. Padding features of panels are zero; those of f32 tiles are neither read
//! nor written.
//!
//! **Errors**: [`KernelError`](crate::KernelError) for no features or columns, buffers of another size, parameters that are not
//! finite.
//!
//! When *not* to use it: with scales that are known beforehand. Then the producer of x writes the panel, and the product's epilogue
//! finishes in registers.

mod constants;
mod quantize;
mod rescale;

pub use constants::zero_code;
pub use quantize::{ColumnQuantDesc, ColumnQuantKernel, ColumnQuantPlan, FeatureScales};
pub use rescale::{ColumnRescaleDesc, ColumnRescaleKernel, ColumnRescalePlan, RescaleParams, RescaleRows};
