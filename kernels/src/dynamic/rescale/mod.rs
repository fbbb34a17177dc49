//! From the sums of a product to its results, by the scale of every column. See the [module above](super).

mod args;
mod desc;
mod emit;
mod kernel;
mod params;
mod plan;
mod portable;
mod regs;
mod target;

pub use desc::{ColumnRescaleDesc, RescaleOutput};
pub use kernel::ColumnRescaleKernel;
pub use params::{RescaleParams, RescaleRows};
pub use plan::ColumnRescalePlan;
pub use target::RescaleTarget;
