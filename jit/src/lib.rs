//! Run-time code generation for Lacuna: what the kernels' generators stand on.
//!
//! - [`Tier`], [`Isa`], [`Avx512Vnni`]: CPU features as values that prove what may be executed.
//! - [`RegFile`], [`Gpr`], [`Zmm`], [`Mask`], [`ptr`]: registers handed out once, memory operands.
//! - [`Asm`], [`Evex`], [`Code`]: an assembler of scalar code (dynasm) and AVX-512 (own encoder), with line notes.
//! - [`CodeArena`], [`Sealed`], [`Function`], [`Entry`]: memory that is written once, sealed, and called through a type.
//!
//! When *not* to use it: it encodes what Lacuna's kernels need, in one operand order and without a register allocator. For
//! general code generation use cranelift or dynasm-rs itself.

mod code;
pub mod cpu;
mod encoding;
mod error;
mod evex;
mod memory;
mod perf;
mod registers;

pub use code::{Asm, Code, Note};
pub use cpu::{Avx512Bf16, Avx512Vnni, Isa, TIER_VARIABLE, Tier};
pub use encoding::{Encoding, Tuple};
pub use error::JitError;
pub use evex::{Evex, Form, ROWS, Row, at};
pub use memory::{CodeArena, CodeId, Entry, Function, Sealed, WeakFunction};
pub use perf::PERF_VARIABLE;
pub use registers::{Bcast, Dst, Gpr, Mask, Mem, MemDst, RegFile, RegisterRole, Rm, RmBcast, Scale, Zmm, ptr};
