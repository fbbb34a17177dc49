//! oneDNN's C interface, behind owners whose use is safe: shapes and types are checked before the library sees an address.

mod api;
mod matmul;
mod objects;

pub(super) use api::DataType;
pub(super) use matmul::{Matmul, MatmulDesc};
pub(super) use objects::Cpu;

/// Its name in messages.
const LIBRARY: &str = "oneDNN";
