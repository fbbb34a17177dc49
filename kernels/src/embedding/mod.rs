//! The sum of a word's, a type's and a position's row for the token of every column, gathered and transposed into an f32 tile.
//!
//! ```text
//! x[f][n] = (word[word_id[n]][f] + kind[kind_id[n]][f]) + position[position_id[n]][f]
//! ```
//!
//! **Shapes**: tables are `rows x F`, F >= 1; the result is F x N, N >= 1.
//!
//! **Layout**: tables are token-major, `[rows][F]` f32, as checkpoints store them. The result is an f32 tile
//! ([`crate::layout`]). Tables aligned to 64 bytes, such as a [`crate::Buffer`], are read up to twice as fast as others if F is a
//! multiple of 16. Index arrays have whole tiles: [`crate::layout::tiles`]`(N) * 64` entries, of which the
//! padding ones are any valid rows.
//!
//! **Numerics**: two additions, each rounded to nearest even. A NaN or infinity in a row reaches the columns of that
//! row only.
//!
//! **Errors**: [`KernelError`](crate::KernelError) for F = 0, N = 0, tables that are not a whole number of rows, index
//! arrays or results of another size, indices outside their table. All indices are checked before any is used.

mod args;
mod desc;
mod emit;
mod kernel;
mod params;
mod plan;
mod portable;
mod regs;
mod with_layernorm;

pub use desc::EmbeddingDesc;
pub use kernel::EmbeddingKernel;
pub use params::{EmbeddingIds, EmbeddingTables};
pub use plan::EmbeddingPlan;
pub use with_layernorm::EmbedLayerNorm;
