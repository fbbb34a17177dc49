//! The stream-form kernel for 256 bits.
//!
//! One pass computes 4 outputs x 16 columns, which are two vectors. Unpacking 32 bytes of a plain row gives, in each vector, eight of 16
//! consecutive columns: so the columns of a pass are those of one *half* of two vectors of AVX-512 that follow each other, a *pair*.

mod emit;
mod group;
mod pass;
mod regs;

pub(super) use emit::emit;
