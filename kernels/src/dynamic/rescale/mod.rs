//! From the sums of a product to its results, by the scale of every column. See the [module above](super).

mod args;
mod desc;
mod emit;
mod kernel;
mod params;
mod plan;
mod portable;
mod regs;

pub use desc::ColumnRescaleDesc;
pub use kernel::ColumnRescaleKernel;
pub use params::{RescaleParams, RescaleRows};
pub use plan::ColumnRescalePlan;
