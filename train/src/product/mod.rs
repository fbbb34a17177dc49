//! Linear products and their gradients.
//!
//! | product | dense | sparse |
//! | --- | --- | --- |
//! | `Y = W X + b` | generated kernels of [`lacuna_kernels::float`] | the same, for blocks of 4x1 |
//! | `dX = W' dY` | the same, on the transposed weights | a loop over the kept weights of four rows |
//! | `dW = dY X'`, `X X'` | loops over blocks in registers, see [`outer`](fn@outer) | the same loops over kept columns, see [`outer_kept`] |
//!
//! A layer with a mask is sparse if its density is below [`SPARSE_BELOW`].

mod block;
pub(crate) mod groups;
mod linear;
mod outer;
mod scatter;

pub use groups::{GROUP, RowGroups};
pub use linear::{Product, SPARSE_BELOW, is_sparse};
pub use outer::{gram, outer, outer_kept, sum_tokens};
