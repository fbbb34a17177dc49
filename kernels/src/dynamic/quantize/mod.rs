//! From an f32 tile to codes and a scale per column. See the [module above](super).

mod args;
mod desc;
mod emit;
mod kernel;
mod params;
mod plan;
mod portable;
mod regs;

pub use desc::ColumnQuantDesc;
pub use kernel::ColumnQuantKernel;
pub use params::FeatureScales;
pub use plan::ColumnQuantPlan;
