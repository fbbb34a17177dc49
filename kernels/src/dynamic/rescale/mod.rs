//! From the sums of a product to its results, by the scale of every token. See the [module above](super).

mod desc;
mod emit;
mod kernel;
mod portable;

pub use desc::{TokenRescaleDesc, TokenRescalePlan};
pub use kernel::{RescaleParams, RescaleRows, TokenRescaleKernel};
