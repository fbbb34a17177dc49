//! The kernels of Lacuna, each as descriptor -> plan -> code -> kernel, each with a scalar reference.
//!
//! | module | computes | input | output |
//! | --- | --- | --- | --- |
//! | [`spmm`] | block-sparse s8 weights x u8 | plain panel; VNNI panel for 4x4 and 1x4 | u8/s8 panel or f32 tile, ReLU or GELU, residual |
//! | [`gemm`] | dense s8 weights x u8 | VNNI panel | the same |
//! | [`float`] | sparse or dense f32 or bf16 weights x the same | f32 tile, bf16 panel | f32 tile, bf16 panel |
//! | [`attention`] | softmax(Q K) V per sequence and head | VNNI and plain panels | u8 panel |
//! | [`embedding`] | sum of table rows, transposed | f32 tables, a row per id | f32 tile |
//! | [`layernorm`] | normalisation over features | f32 tile | f32 tile, u8 panel |
//! | [`softmax`] | softmax over features | f32 tile | f32 tile |
//! | [`dynamic`] | codes with a scale per column, and results from such codes | f32 tile | u8/s8 panel, f32 tile |
//! | [`elementwise`] | ReLU, GELU, quantisation | f32 tile | f32 tile, u8/s8 panel |
//!
//! [`layout`] defines panels and tiles, [`Sink`] says where results go, and [`epilogue`] what happens to accumulators. [`cache`] keeps
//! one kernel per plan. [`mod@reference`] has the scalar references, and [`peak`] measures what the machine can do at most.
//! [`machine`] knows what it executes per cycle, and the bound of a kernel that follows. Every kernel has a portable form in plain Rust that gives the same bits as the generated one.
//!
//! When *not* to use it: for matrices whose weights change between calls. Packing and planning pay off only for weights that are loaded
//! once.

#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

mod args;
pub mod attention;
mod buffer;
pub mod cache;
mod chunks;
mod dot_avx2;
pub mod dynamic;
pub mod elementwise;
pub mod embedding;
pub mod epilogue;
mod error;
pub mod float;
pub mod gemm;
#[cfg(target_arch = "x86_64")]
pub mod intrinsics;
mod kernel;
pub mod layernorm;
pub mod layout;
pub mod machine;
pub mod math;
mod output;
mod parallel;
pub mod peak;
mod plan;
#[cfg(test)]
mod preserved;
pub mod reference;
mod rows;
mod shared_slice;
mod sink;
pub mod softmax;
pub mod spmm;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
mod team;

pub use buffer::Buffer;
pub use chunks::{Chunked, ChunksMut};
pub use error::KernelError;
pub use lacuna_pattern::{self as pattern, ActivationBits, Block};
pub use layout::{LANES, PanelLayout, Sign, TILE, VECTORS};
pub use output::OutputBuffer;
pub use parallel::Parallel;
pub use plan::{GENERATOR_VERSION, Generate, Plan};
pub use shared_slice::SharedSlice;
pub use sink::{Activation, Output, Sink, Store};
pub use team::Team;
