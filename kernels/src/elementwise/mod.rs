//! Functions of single elements of an f32 tile: activations, and quantisation to a panel.
//!
//! ```text
//! y[f][n] = x[f][n],  relu(x[f][n]),  gelu(x[f][n])  or its tanh form
//! q[f][n] = saturate(round(fma(y[f][n], scale[f], zero[f])))
//! ```
//!
//! The kernel stores either y, in place, or q as a panel of u8 or s8.
//!
//! **Shapes**: F x N, any F >= 1 and N >= 1.
//!
//! **Layout**: x and y are an f32 tile, q a plain or VNNI panel ([`crate::layout`]).
//!
//! **Numerics**: ReLU is exact; GELU as [`crate::math::gelu`], absolute error below 2e-6, its tanh form as
//! [`crate::math::gelu_tanh`], below 1e-6. Rounding is to nearest even, once for the multiply-add and once to an integer. A value
//! outside s32, or NaN, becomes `i32::MIN` and so the least byte. Padding features of a panel are zero; those of the f32 tile are
//! neither read nor written.
//!
//! **Errors**: [`KernelError`](crate::KernelError) for F = 0, N = 0, buffers of another size, parameters that are not
//! finite.
//!
//! When *not* to use it: after a product of this crate. The epilogues of [`crate::spmm`] and [`crate::gemm`] do both without a pass
//! over memory. No model of this project applies an activation in place; that form is here for `bench gelu` and for callers that
//! have a tile of their own.

mod args;
mod desc;
mod emit;
mod kernel;
mod params;
mod plan;
mod portable;
mod regs;

pub use desc::ElementwiseDesc;
pub use kernel::ElementwiseKernel;
pub use params::QuantParams;
pub use plan::ElementwisePlan;
