//! From the sums of a product to its results, by the scale of every token. See the [module above](super).

mod desc;
mod emit;
mod kernel;
mod portable;

pub use desc::{RescaleOutput, TokenRescaleDesc, TokenRescalePlan};
pub use kernel::{RescaleParams, RescaleRows, RescaleTarget, TokenRescaleKernel};
