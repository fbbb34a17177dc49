//! The generated loops of the probe, each of which executes one kind of instruction as fast as it can.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Code, Evex, Gpr, JitError, RegFile, Zmm, ptr};

use crate::layout::VECTOR_BYTES;

/// What a loop executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// A chain of additions, each of which needs the one before: one per cycle. Beside it a few dot products, so that the clock is that
    /// of 512-bit code.
    Clock,
    /// `vpdpbusd`.
    Dots,
    /// `vpdpbusd`, each of which adds to the sums of the one before.
    DotLatency,
    /// Unpacks.
    Shuffles,
    /// This many dot products of [`AT_ONCE`] instructions; the others are unpacks.
    Mix(usize),
    /// Integer additions of vectors.
    Operations,
    /// Loads of 64 bytes.
    ZmmLoads,
    /// Loads of 32 bytes.
    YmmLoads,
    /// Stores of 64 bytes.
    ZmmStores,
    /// Loads of 64 bytes that walk the whole buffer.
    L2Loads,
    /// No-ops.
    Instructions,
    /// A branch on a bit of a random number, masked by [`ProbeArgs::mask`].
    Branches,
}

/// Vector instructions per iteration.
pub(super) const AT_ONCE: usize = 24;
/// Additions of the chain per iteration.
const CHAIN: usize = 48;
/// Dot products beside the chain.
const BESIDE_CHAIN: usize = 4;
/// No-ops per iteration.
const NO_OPS: usize = 64;

/// What the loops are called with.
#[derive(Debug)]
#[repr(C)]
pub(super) struct ProbeArgs {
    /// Iterations; passes over the buffer for [`Subject::L2Loads`].
    pub(super) rounds: usize,
    /// A buffer of at least [`AT_ONCE`] vectors.
    pub(super) buffer: *mut u8,
    /// Its end: a multiple of [`AT_ONCE`] vectors behind its start.
    pub(super) end: *mut u8,
    /// Which bit decides a branch; 0 for branches that always go the same way.
    pub(super) mask: u64,
    /// Where the random numbers start; not 0.
    pub(super) seed: u64,
}

impl Subject {
    /// What one iteration executes of the subject, or its cycles for the clock. `bytes` is the length of the buffer.
    pub(super) fn count(self, bytes: usize) -> usize {
        match self {
            Subject::Clock => CHAIN,
            Subject::Instructions => NO_OPS + 2, // and the loop
            Subject::L2Loads => bytes / VECTOR_BYTES as usize,
            Subject::Branches => 1,
            _ => AT_ONCE,
        }
    }

    /// Iterations of one timed run: 10 to 25 us.
    pub(super) fn rounds(self, bytes: usize) -> usize {
        match self {
            Subject::Clock => 1000,
            Subject::DotLatency => 500,
            Subject::ZmmStores => 1500,
            Subject::Instructions | Subject::Branches => 2500,
            Subject::L2Loads => (32usize << 10).div_ceil(self.count(bytes)),
            _ => 2500,
        }
    }

    /// The loop.
    pub(super) fn emit(self) -> Result<Code, JitError> {
        let mut regs = RegFile::new();
        let r = Regs::new(&mut regs)?;
        let mut a = Asm::new();
        a.begin_function(&regs);
        a.load_arg(r.rounds, &regs, offset_of!(ProbeArgs, rounds));
        a.load_arg(r.buffer, &regs, offset_of!(ProbeArgs, buffer));
        a.load_arg(r.end, &regs, offset_of!(ProbeArgs, end));
        a.load_arg(r.mask, &regs, offset_of!(ProbeArgs, mask));
        a.load_arg(r.random, &regs, offset_of!(ProbeArgs, seed));
        for &zmm in r.vectors.iter().chain([&r.sum, &r.x, &r.w]) {
            a.vpxord(zmm, zmm, zmm);
        }
        a.align_loop(64);
        dynasm!(a ; .arch x64 ; ->again:);
        self.emit_body(&mut a, &r);
        dynasm!(a ; .arch x64 ; dec Rq(r.rounds) ; jnz ->again);
        a.end_function(&regs);
        a.finish(format!("probe-{self:?}").to_lowercase(), &regs)
    }

    fn emit_body(self, a: &mut Asm, r: &Regs) {
        match self {
            Subject::Clock => {
                for i in 0..CHAIN {
                    dynasm!(a ; .arch x64 ; add Rq(r.random), Rq(r.mask));
                    if i % (CHAIN / BESIDE_CHAIN) == 0 {
                        a.vpdpbusd(r.vectors[i / (CHAIN / BESIDE_CHAIN)], r.x, r.w);
                    }
                }
            }
            Subject::Mix(dots) => {
                for (i, &to) in r.vectors.iter().enumerate() {
                    // Spread evenly: one where the integer part of i dots / 24 grows.
                    match (i + 1) * dots / AT_ONCE > i * dots / AT_ONCE {
                        true => a.vpdpbusd(to, r.x, r.w),
                        false => a.vpunpcklbw(to, r.x, r.w),
                    }
                }
            }
            Subject::Dots => each(a, r, |a, to, _| a.vpdpbusd(to, r.x, r.w)),
            Subject::DotLatency => each(a, r, |a, _, _| a.vpdpbusd(r.sum, r.x, r.w)),
            Subject::Shuffles => each(a, r, |a, to, _| a.vpunpcklbw(to, r.x, r.w)),
            Subject::Operations => each(a, r, |a, to, _| a.vpaddd(to, r.x, r.w)),
            Subject::ZmmLoads => each(a, r, |a, to, at| a.vmovdqu32(to, ptr(r.buffer) + at)),
            Subject::YmmLoads => each(a, r, |a, to, at| a.vmovdqu32_y(to, ptr(r.buffer) + at)),
            Subject::ZmmStores => each(a, r, |a, from, at| a.vmovdqu32_st(ptr(r.buffer) + at, from)),
            Subject::L2Loads => emit_walk(a, r),
            Subject::Instructions => {
                for _ in 0..NO_OPS {
                    dynasm!(a ; .arch x64 ; .bytes [0x0f, 0x1f, 0x00]); // nop dword [rax]
                }
            }
            Subject::Branches => emit_branch(a, r),
        }
    }
}

struct Regs {
    rounds: Gpr,
    buffer: Gpr,
    end: Gpr,
    mask: Gpr,
    /// A random number; the sum of the chain of additions.
    random: Gpr,
    /// The random number, shifted; the next vector of the buffer.
    other: Gpr,
    vectors: Vec<Zmm>,
    /// What a chain of dot products adds to.
    sum: Zmm,
    x: Zmm,
    w: Zmm,
}

impl Regs {
    fn new(file: &mut RegFile) -> Result<Regs, JitError> {
        Ok(Regs {
            rounds: file.gpr("rounds left")?,
            buffer: file.gpr("buffer")?,
            end: file.gpr("end of the buffer")?,
            mask: file.gpr("bit that decides; summand")?,
            random: file.gpr("random number; sum")?,
            other: file.gpr("random number, shifted; next vector")?,
            vectors: file.zmms(AT_ONCE, "results")?,
            sum: file.zmm("sums of a chain")?,
            x: file.zmm("first operand (zeros)")?,
            w: file.zmm("second operand (zeros)")?,
        })
    }
}

/// `instruction(a, register, offset)` for every register, with the offset of as many vectors in the buffer.
fn each(a: &mut Asm, r: &Regs, instruction: impl Fn(&mut Asm, Zmm, i32)) {
    for (&to, i) in r.vectors.iter().zip(0..) {
        instruction(a, to, i * VECTOR_BYTES);
    }
}

/// Loads the whole buffer.
fn emit_walk(a: &mut Asm, r: &Regs) {
    dynasm!(a ; .arch x64 ; mov Rq(r.other), Rq(r.buffer) ; ->vectors:);
    each(a, r, |a, to, at| a.vmovdqu32(to, ptr(r.other) + at));
    dynasm!(a
        ; .arch x64
        ; add Rq(r.other), AT_ONCE as i32 * VECTOR_BYTES
        ; cmp Rq(r.other), Rq(r.end)
        ; jb ->vectors
    );
}

/// The next random number (xorshift64), and a branch on a bit of it.
fn emit_branch(a: &mut Asm, r: &Regs) {
    dynasm!(a
        ; .arch x64
        ; mov Rq(r.other), Rq(r.random)
        ; shl Rq(r.other), 13
        ; xor Rq(r.random), Rq(r.other)
        ; mov Rq(r.other), Rq(r.random)
        ; shr Rq(r.other), 7
        ; xor Rq(r.random), Rq(r.other)
        ; mov Rq(r.other), Rq(r.random)
        ; shl Rq(r.other), 17
        ; xor Rq(r.random), Rq(r.other)
        ; test Rq(r.random), Rq(r.mask)
        ; jz ->skip
        ; lea Rq(r.other), [Rq(r.other) + 1]
        ; ->skip:
    );
}
