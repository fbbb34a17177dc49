//! From an f32 tile to codes and a scale per token. See the [module above](super).

mod desc;
mod emit;
mod kernel;
mod portable;

pub use desc::{TokenQuantDesc, TokenQuantPlan};
pub use kernel::{TokenQuantKernel, TokenQuantScales};
