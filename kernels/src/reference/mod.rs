//! Scalar references: the obvious formula in the widest type, for tests and for reading.

pub mod attention;
pub mod gemm;
pub mod rows;
