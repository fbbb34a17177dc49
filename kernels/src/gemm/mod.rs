//! Dense weights times dense activations: `Y[m][n] = epilogue(sum_k W[m][k] X[k][n])`, s8 weights, u8 activations, exact s32
//! accumulation. What a layer runs on when too few of its weights are zero.
//!
//! **Shapes**: W is M x K, X is K x N, Y is M x N; any M, K, N >= 1.
//!
//! **Layout**: X is a VNNI panel, read with no shuffle; Y what the [`Epilogue`](crate::epilogue::Epilogue) says; W is packed
//! by [`GemmWeights`]: row blocks of 4 output features, three row blocks interleaved to a block, `[block][k/4][12][4]` bytes.
//!
//! **Register block**: 12 output features x 32 columns are 24 accumulators; one step of four input features loads 2 vectors of
//! X, broadcasts 12 dwords of W and issues 24 `vpdpbusd`. Half-tiles of 32 columns are the outer loop, so that the half of X in
//! use (32 K bytes) stays in L1 up to K = 1536.

mod args;
mod avx2;
mod bound;
mod desc;
mod emit;
mod kernel;
mod plan;
mod portable;
mod regs;
mod twos;
mod weights;

pub use desc::GemmDesc;
pub use kernel::GemmKernel;
pub use plan::GemmPlan;
pub use weights::GemmWeights;
