//! Linear products and their gradients.
//!
//! | product | computed by |
//! | --- | --- |
//! | `Y = W X + b`, `dX = W' dY` | generated kernels of [`lacuna_kernels::float`], see [`Product`] |
//! | `dW = dY X'`, `X X'` | loops over blocks in registers, see [`outer`](fn@outer) |

pub(crate) mod groups;
mod linear;
mod outer;

pub use groups::{GROUP, RowGroups};
pub use linear::Product;
pub use outer::{gram, outer, outer_kept, sum_tokens};
