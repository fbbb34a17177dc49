//! Single products Y = W X that are timed: shapes, seeded operands, kernels ready to run, and the check against the reference.

pub mod call;
pub mod float;
pub mod int8;
pub mod intrinsics;
pub mod problem;
pub mod shapes;
