//! Sparse weights times dense activations: `Y[m][n] = epilogue(sum_k W[m][k] X[k][n])`, s8 weights in blocks, u8
//! activations, exact s32 accumulation.
//!
//! **Shapes**: W is M x K, X is K x N, Y is M x N; any M, K, N >= 1.
//!
//! **Layout**: X is a plain panel (a VNNI panel for 1x4 and 4x4), Y what the [`Epilogue`](crate::epilogue::Epilogue) says; W is a [`SpmmWeights`] stream.
//!
//! **Stream form**: the pattern is data, not code. Four blocks of one input feature form a *group*: four input feature indices
//! and four weights of every output. The generated loop loads the four activation rows, interleaves them to dwords of four
//! input features per column with unpacks (they run beside the dot products for free), and issues 16 `vpdpbusd` on 4 outputs x
//! 64 columns. Blocks of four input features read dwords of a VNNI panel instead. Code depends on the shape and the epilogue
//! only, so layers of equal shape share it.
//!
//! **Blocks**: there is code for 4x1, 4x4 and 1x4 blocks. 8x1 and 16x1 blocks are two and four of 4x1: a group of 16 outputs x 16
//! columns would load the same rows of X for the same 16 dot products, use a quarter of each, and need four times the
//! broadcasts. They can share interleaved rows of X. Unstructured zeros are covered by 4x1 blocks, of whichever four outputs coincide most. 1x4 blocks share no input
//! feature between outputs: each dot product needs a load of its own, and loads are the limit.
//!
//! **Schedule**: vectors per pass, unrolling, dense packing of short tails, several row blocks in one loop, prefetch: a [`Schedule`] never changes what is
//! computed. [`Tuner`] picks one by a cost model or by measurement, [`TuningTable`] keeps the choice.
//!
//! **Order**: row blocks are sorted by their number of groups, so that the loop exit predicts; tiles are the outer loop, so
//! that a tile of X stays in L1 while all row blocks pass over it.
//!
//! When *not* to use it: above about 90 % density [dense GEMM](crate::gemm) is faster.

mod abreast;
mod args;
mod avx2;
mod bound;
mod check;
mod desc;
mod emit;
mod group;
mod kernel;
mod narrow;
mod order;
mod overlap;
mod pack_indices;
mod paired;
mod pass;
mod plan;
mod portable;
mod regs;
mod row_block;
mod schedule;
mod sections;
mod shared;
mod stream;
mod tile;
mod tune;
mod weights;

pub use desc::SpmmDesc;
pub use kernel::SpmmKernel;
pub use plan::{IndexWidth, SpmmPlan};
pub use schedule::{Abreast, Schedule};
pub use sections::SpmmFacts;
pub use tune::{Candidate, Tuner, Tuning, TuningError, TuningTable};
pub use weights::SpmmWeights;
