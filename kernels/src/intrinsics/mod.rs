//! The 4x1 SpMM in `std::arch` intrinsics, with no code generation: the baseline that the generated kernels must justify
//! themselves against.
//!
//! It is what a careful programmer writes by hand: the same panels, the same grouping of four blocks per `vpdpbusd`, row blocks
//! sorted by length, 4 output features x 64 columns in registers, tails of 16, 32 and 48 columns, and the same numbers bit for
//! bit. What the compiler does not know is what the generator uses: the shape, the number of columns, the epilogue as a whole.
//! `lacuna bench spmm --intrinsics` measures both side by side.
//!
//! When *not* to use it: in a model. [`crate::spmm`] is faster, runs on several threads, has every epilogue and block shape, and
//! a portable form. This one is for measurements, and to debug the other two against.

mod avx512;
mod kernel;
mod weights;

pub use kernel::IntrinsicsSpmm;
