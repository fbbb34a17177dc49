//! What happens to the s32 accumulators of a GEMM or SpMM before they leave the registers.
//!
//! With `acc[m][n]` exact in s32 and the row's [`RowParams`]:
//!
//! ```text
//! y = fma(acc as f32, multiplier[m], addend[m])
//! y = relu(y), gelu(y) or gelu_tanh(y)             if there is an activation
//! f32 output:    out[m][n] = y                     or out[m][n] + y (residual, in place)
//! 8-bit output:  out[m][n] = saturate(round(y))                              without activation; to the numbers of the sink's `Sign`
//!                out[m][n] = saturate(round(fma(y, out_scale[m], out_zero[m])))  with activation
//! ```
//!
//! GELU is [`crate::math::gelu`] for f32 output and [`crate::math::gelu_coarse`], whose error, below 2.5e-5 + 1e-6 |x|,
//! is far below the rounding, for 8-bit output. Its tanh form is [`crate::math::gelu_tanh`] and [`crate::math::gelu_tanh_coarse`]: the same instructions on other
//! tables. ReLU is exact.
//!
//! **Numerics** of [`Arithmetic::F32`]: s32 -> f32 and f32 -> s32 round to nearest even, the multiply-add rounds once. A result
//! outside s32 would become `i32::MIN`; [`RowParams::check`] refuses parameters that could produce one.
//!
//! **Numerics** of [`Arithmetic::I16`], for 8-bit output only. It takes a fifth less time than f32, and with GELU less than half the time:
//! without activation or with ReLU every result is within 0.52 of the exact one instead of 0.5; with either form of GELU within
//! 0.5 + 3.5 2^-Q + 0.002 out_scale, where Q is 6 for `out_scale` up to about 70 and one less for each doubling of it, or of multiplier x out_scale beyond 1/64. Not all parameters
//! can be written in 16 bits: [`Epilogue::check`].

mod activation;
mod avx2;
mod avx512;
mod bytes;
mod constants;
mod desc;
mod emit;
mod emit_fixed;
pub(crate) mod fixed;
mod gelu;
mod pack;
mod params;
mod portable;
mod regs;
mod row;
mod store;
mod verbs;

pub use crate::sink::{Activation, Store};
pub(crate) use activation::{Accuracy, emit_activation};
pub(crate) use bytes::emit_pack;
pub(crate) use constants::Constants;
pub use desc::{Arithmetic, Epilogue};
pub(crate) use emit::{emit_epilogue, emit_start};
pub(crate) use gelu::{FineTable, GELU_TABLE, GELU_TANH_TABLE, gelu_temps};
pub(crate) use pack::OutputLanes;
pub(crate) use params::{BlockParams, PARAMS};
pub(crate) use portable::finish_block;
pub(crate) use regs::EpilogueRegs;
pub use row::RowParams;
pub(crate) use store::emit_store_bytes;
pub(crate) use verbs::Verbs;
