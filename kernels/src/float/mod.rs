//! Sparse and dense products for models that are not quantised: `Y[m][n] = sink(b[m] + sum_k W[m][k] X[k][n])` with
//! weights and activations in f32 or bf16 and sums in f32.
//!
//! **Shapes**: W is M x K, X is K x N, Y is M x N; any M, K, N >= 1.
//!
//! **Layout**: an f32 X is an f32 tile, a bf16 X is a [bf16 panel](bf16_index); Y is what the [`Sink`](crate::Sink) says; W
//! is a [`FloatWeights`] stream.
//!
//! **One generator** for both types and all blocks. A *register tile* of R output features x V vectors of 16 columns is
//! accumulated in *steps* of C input features: C = 1 for f32 (`vfmadd231ps`), C = 2 for bf16 (`vdpbf16ps`). A step
//! loads V vectors of X, broadcasts R weights and multiplies. What differs is data:
//!
//! | block | R x V | X of a step |
//! | --- | --- | --- |
//! | unstructured | 1 x 4 | through the record's indices |
//! | 4x1 | 4 x 4 | through the record's indices |
//! | 8x1, 16x1 | 8 x 2 | through the record's indices |
//! | dense | 12 x 2 (8 x 2 or 4 x 4 where 12 would leave many rows empty) | the next rows |
//!
//! With R = 1 every multiplication needs a vector of X of its own: the bandwidth of L2 is the limit, at a third of the speed of
//! blocks, but without explicit zeros. Covering random zeros with 4x1 blocks multiplies two to four times as many weights
//! and is slower from 80 % on.
//!
//! Block rows are sorted by their number of steps, so that loop exits predict; tiles are the outer loop; the stream is
//! fetched a page ahead. Code depends on the shape, the types and the sink, never on the pattern. A bf16 row holds
//! the columns in an order in which interleaving two rows within 128-bit lanes (`vpunpck[lh]wd`) gives pairs of features
//! for 16 consecutive columns. The unpacks use other ports than the multiplications and cost nothing, so dense bf16 reads the same panel.
//!
//! **Numerics**: sums start at the bias and take one feature after the other, each step fused: the product is not
//! rounded, the sum is rounded to nearest even. Where a register tile has accumulators to spare (a tail of few vectors)
//! they form [`FloatPlan::chains`] sums of every second, third, .. step, added at the end: the last bits of a column's
//! results can depend on how many columns share its tile, unless the plan is made for [`SumOrder::Fixed`]. With `gamma(n) = n u / (1 - n u)`, u = 2^-24 and n = K + 4,
//! the sum differs from the exact one of the same (rounded) operands by at most `gamma(n) (|b| + sum_k |w| |x|)`, as
//! long as nothing overflows; in bf16 by 2^-126 more per product and sum, and by the denormal operands that it takes
//! for zeros.
//!
//! bf16 follows [`vdpbf16ps`](dot_bf16) to the bit: of every pair the feature with the higher index first, denormals in
//! and out as zeros. Every tier gives the same bits. Infinities and NaNs in X give infinities and NaNs in the results
//! of their column (a zero weight inside a stored block times infinity is NaN); weights and biases must be finite.
//!
//! When *not* to use it: for quantised models, where [`spmm`](crate::spmm) and [`gemm`](crate::gemm) do four times the
//! work of f32 and twice that of bf16 per instruction, on a quarter and half of the memory.

mod args;
mod check;
mod desc;
mod emit;
mod epilogue;
mod kernel;
mod layout;
pub mod peak;
mod plan;
mod portable;
mod regs;
mod sections;
mod sink;
mod twin;
mod weights;

pub use desc::{DType, FloatDesc};
pub use half::bf16;
pub use kernel::{FloatInput, FloatKernel};
pub use layout::{bf16_index, bf16_lane_position, pack_bf16_panel};
pub use plan::{FloatPlan, SumOrder};
pub use sections::FloatFacts;
pub use sink::sinks;
pub use twin::{dot_bf16, round_to_bf16};
pub use weights::FloatWeights;
