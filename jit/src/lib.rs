//! Run-time code generation for Lacuna: the base of the generators of all kernels.
//!
//! - [`Features`]: sets of CPU features. Every instruction row names those that it needs, and [`Code`] collects them.
//!   [`Features::detect`] gives those of this machine that the user does not mask.
//! - [`Tier`], [`Isa`], [`Avx512Vnni`], [`Avx2`]: CPU features as values that prove what may be executed.
//! - [`PortClass`], [`PortCounts`], [`Loop`]: what instructions occupy, counted for every marked loop.
//! - [`RegFile`], [`Gpr`], [`Zmm`], [`Mask`], [`ptr`]: registers, each handed out once, and memory operands.
//! - [`Asm`], [`Evex`], [`Vex`], [`Code`]: an assembler of scalar code (dynasm) and of AVX-512 or AVX2 (own encoder), with line
//!   notes. [`Vector`] has the mnemonics of both.
//! - [`CodeArena`], [`Sealed`], [`Function`], [`Entry`]: memory that is written once, sealed, and called through a type.
//!
//! When *not* to use it: it encodes what Lacuna's kernels need, in one operand order and without a register allocator. For
//! general code generation use cranelift or dynasm-rs itself.

mod code;
pub mod cpu;
mod detect;
mod encoding;
mod error;
mod evex;
mod features;
mod isa;
mod memory;
mod perf;
mod ports;
mod registers;
mod row;
mod scalar;
mod sink;
mod tier;
mod vector;
mod vex;
mod width;

pub use code::{Asm, Code, Loop, Note};
pub use detect::{MASK_VARIABLE, TIER_VARIABLE};
pub use encoding::{Encoding, Tuple};
pub use error::JitError;
pub use evex::{Evex, EvexSink, ROWS};
pub use features::Features;
pub use isa::{Avx2, Avx512Bf16, Avx512Vnni, Isa};
pub use memory::{CodeArena, CodeId, Entry, Function, Sealed, WeakFunction};
pub use perf::PERF_VARIABLE;
pub use ports::{Access, PortClass, PortCounts};
pub use registers::{Bcast, Dst, Gpr, Mask, Mem, MemDst, RegFile, RegisterRole, Rm, RmBcast, Scale, Zmm, at, ptr};
pub use row::{Form, Row};
pub use sink::InstructionSink;
pub use tier::Tier;
pub use vector::Vector;
pub use vex::{VEX_ROWS, Vex, VexSink};
pub use width::{Width, Ymm256, Zmm512};
