//! The limits of the machine, measured by generated loops in the same process. Kernel speeds are compared with them.
//!
//! | function | measures | binds |
//! | --- | --- | --- |
//! | [`vnni_gops`] | `vpdpbusd zmm` from registers | GEMM, SpMM, attention |
//! | [`avx2_gops`] | `vpdpbusd ymm` or `vpmaddwd ymm` from registers | GEMM, SpMM |
//! | [`avx2_twos_gops`] | two `vpmaddubsw ymm` for each `vpmaddwd ymm`, from registers | GEMM, SpMM of seven bits |
//! | [`fma_gflops`] | `vfmadd231ps zmm` from registers | GELU, softmax |
//! | [`load_gbs`] | reading a buffer again and again | |
//! | [`copy_gbs`] | reading one buffer and writing another | quantisation |
//! | [`update_gbs`] | reading and writing a buffer in place | layernorm, softmax, GELU on f32 tiles |
//!
//! All take the best of several runs of about 50 us each, because noise only ever slows a run down. The bandwidth is that of the
//! cache level the buffer fits: 16 KiB for L1, 256 KiB for L2.

use std::mem::offset_of;
use std::time::Instant;

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{
    Asm, Avx2, Avx512Vnni, Code, CodeArena, Evex, Features, Gpr, JitError, RegFile, Vector, Vex, Zmm, ptr,
};

use crate::layout::VECTOR_BYTES;
use crate::{Buffer, KernelError, LANES};

/// Independent accumulators: more than latency x throughput of any instruction measured (4-5 cycles x 2 per cycle).
const ACCUMULATORS: usize = 24;
/// The same of the 16 registers of AVX2.
const AVX2_ACCUMULATORS: usize = 14;
/// Iterations of one timed run of a loop on registers: about 50 us.
const ITERATIONS: usize = 8192;
/// Bytes of one timed run of a loop on memory: about 50 us.
const BYTES_PER_RUN: usize = 8 << 20;
/// Vectors per iteration of a loop on memory.
const UNROLL: usize = 8;
/// Bytes per iteration of a loop on memory.
const STEP: usize = UNROLL * VECTOR_BYTES as usize;

/// The rate of `vpdpbusd zmm, zmm, zmm`, in GOP/s (one multiply or add is one operation): the best of `runs` runs.
///
/// # Errors
/// [`KernelError::Jit`] if executable memory is refused.
pub fn vnni_gops(proof: Avx512Vnni, runs: usize) -> Result<f64, KernelError> {
    /// Multiply and add for each of four bytes in each of 16 lanes.
    const OPERATIONS: usize = 2 * 4 * LANES;
    registers_giga(proof, runs, OPERATIONS, "peak-vpdpbusd-avx512vnni", |a, acc, x, w| a.vpdpbusd(acc, x, w))
}

/// The rate of the instruction by which kernels of `proof` multiply, in GOP/s (one multiply or add is one operation): `vpdpbusd ymm`
/// with AVX-VNNI, else `vpmaddwd ymm`, whose sums need another instruction each. The best of `runs` runs.
///
/// # Errors
/// [`KernelError::Jit`] if executable memory is refused.
pub fn avx2_gops(proof: Avx2, runs: usize) -> Result<f64, KernelError> {
    /// Multiply and add for each of the four bytes or two words in each of 8 lanes.
    const OPERATIONS: [usize; 2] = [2 * 4 * 8, 2 * 2 * 8];
    let (operations, name) =
        if proof.vnni() { (OPERATIONS[0], "peak-vpdpbusd-avxvnni") } else { (OPERATIONS[1], "peak-vpmaddwd-avx2") };
    let code = emit_registers(Asm::avx2(), RegFile::avx2(), AVX2_ACCUMULATORS, name, |a, acc, x, w| {
        if proof.vnni() { a.vpdpbusd(acc, x, w) } else { a.vpmaddwd(acc, x, w) }
    })?;
    let count = ITERATIONS * AVX2_ACCUMULATORS * operations;
    giga(code, &PeakArgs::of_registers(), count, runs)
}

/// The rate of two `vpmaddubsw ymm` for each `vpmaddwd ymm`, by which kernels of AVX2 without VNNI multiply codes of seven bits, in GOP/s
/// (one multiply or add is one operation). Their sums need other instructions. The best of `runs` runs.
///
/// # Errors
/// [`KernelError::Jit`] if executable memory is refused.
pub fn avx2_twos_gops(_proof: Avx2, runs: usize) -> Result<f64, KernelError> {
    /// Multiply and add for each of two times four bytes in each of 8 lanes.
    const OPERATIONS: usize = 2 * 2 * 4 * 8;
    let name = "peak-vpmaddubsw-vpmaddwd-avx2";
    let code = emit_registers(Asm::avx2(), RegFile::avx2(), AVX2_ACCUMULATORS, name, |a, product, x, w| {
        a.vpmaddubsw(product, x, w);
        a.vpmaddubsw(product, product, w);
        a.vpmaddwd(product, product, w);
    })?;
    giga(code, &PeakArgs::of_registers(), ITERATIONS * AVX2_ACCUMULATORS * OPERATIONS, runs)
}

/// The rate of `vfmadd231ps zmm, zmm, zmm`, in GFLOP/s (one multiply or add is one operation): the best of `runs` runs.
///
/// # Errors
/// [`KernelError::Jit`] if executable memory is refused.
pub fn fma_gflops(proof: Avx512Vnni, runs: usize) -> Result<f64, KernelError> {
    /// Multiply and add in each of 16 lanes.
    const OPERATIONS: usize = 2 * LANES;
    registers_giga(proof, runs, OPERATIONS, "peak-vfmadd231ps-avx512vnni", |a, acc, x, w| {
        Evex::vfmadd231ps(a, acc, x, w)
    })
}

/// The bandwidth of 64-byte loads from a buffer of `bytes` bytes, read in ascending order again and again, in GB/s (10^9 bytes):
/// the best of `runs` runs. `bytes` is rounded up to a multiple of 512.
///
/// # Errors
/// [`KernelError::Jit`] if executable memory is refused.
pub fn load_gbs(proof: Avx512Vnni, bytes: usize, runs: usize) -> Result<f64, KernelError> {
    stream_gbs(proof, Stream::Load, bytes, runs)
}

/// The bandwidth of copying one half of a buffer of `bytes` bytes to the other again and again, in GB/s (10^9 bytes, read and
/// written bytes both counted): the best of `runs` runs. `bytes` is rounded up to a multiple of 1024.
///
/// # Errors
/// [`KernelError::Jit`] if executable memory is refused.
pub fn copy_gbs(proof: Avx512Vnni, bytes: usize, runs: usize) -> Result<f64, KernelError> {
    stream_gbs(proof, Stream::Copy, bytes, runs)
}

/// The bandwidth of reading and writing a buffer of `bytes` bytes in place, vector by vector, again and again, in GB/s (10^9
/// bytes, read and written bytes both counted): the best of `runs` runs. `bytes` is rounded up to a multiple of 512.
///
/// # Errors
/// [`KernelError::Jit`] if executable memory is refused.
pub fn update_gbs(proof: Avx512Vnni, bytes: usize, runs: usize) -> Result<f64, KernelError> {
    stream_gbs(proof, Stream::Update, bytes, runs)
}

/// What the generated loops are called with.
#[derive(Debug)]
#[repr(C)]
struct PeakArgs {
    /// Rounds of a loop on registers, or passes over the source.
    rounds: usize,
    /// Source of a loop on memory.
    source: *mut u8,
    source_end: *mut u8,
    /// Bytes from the source to the destination.
    distance: usize,
}

impl PeakArgs {
    /// Of a loop on registers.
    fn of_registers() -> PeakArgs {
        let nowhere = std::ptr::null_mut();
        PeakArgs { rounds: ITERATIONS, source: nowhere, source_end: nowhere, distance: 0 }
    }
}

/// `count` operations of `args.rounds` rounds of `code`, in billions per second: the best of `runs` runs. The
/// callers' tokens prove the CPU features, and [`Code::check`] makes sure.
fn giga(code: Code, args: &PeakArgs, count: usize, runs: usize) -> Result<f64, KernelError> {
    code.check(Features::detect())?;
    let mut arena = CodeArena::new();
    let id = arena.push(code);
    let sealed = arena.seal()?;
    let Some(function) = sealed.function(id) else { return Ok(0.0) };
    // SAFETY: all code of this module reads its argument as `PeakArgs`.
    let entry = unsafe { function.typed::<PeakArgs>() };
    let best = (0..runs.max(1))
        .map(|_| {
            let start = Instant::now();
            // SAFETY: this CPU has the features of the code, which was checked; the code touches registers, or the buffers of `stream_gbs`.
            unsafe { entry.call(args) };
            count as f64 / start.elapsed().as_secs_f64() * 1e-9
        })
        .fold(0.0, f64::max);
    Ok(best)
}

/// The rate of `instruction`, an accumulation from two registers of `operations` operations.
fn registers_giga(
    _proof: Avx512Vnni,
    runs: usize,
    operations: usize,
    name: &str,
    instruction: impl Fn(&mut Asm, Zmm, Zmm, Zmm),
) -> Result<f64, KernelError> {
    let code = emit_registers(Asm::new(), RegFile::new(), ACCUMULATORS, name, instruction)?;
    giga(code, &PeakArgs::of_registers(), ITERATIONS * ACCUMULATORS * operations, runs)
}

fn emit_registers<W>(
    mut a: Asm<W>,
    mut regs: RegFile,
    accumulators: usize,
    name: &str,
    instruction: impl Fn(&mut Asm<W>, Zmm, Zmm, Zmm),
) -> Result<Code, JitError>
where
    Asm<W>: Vector,
{
    let rounds = regs.gpr("rounds left")?;
    let acc = regs.zmms(accumulators, "accumulators")?;
    let (x, w) = (regs.zmm("first factor (zeros)")?, regs.zmm("second factor (zeros)")?);
    a.begin_function(&regs);
    a.load_arg(rounds, &regs, offset_of!(PeakArgs, rounds));
    for &vector in acc.iter().chain([&x, &w]) {
        a.vpxor(vector, vector, vector);
    }
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; ->again:);
    for &acc in &acc {
        instruction(&mut a, acc, x, w);
    }
    dynasm!(a ; .arch x64 ; dec Rq(rounds) ; jnz ->again);
    a.end_function(&regs);
    a.finish(name.to_owned(), &regs)
}

/// How a buffer is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Load,
    Copy,
    Update,
}

fn stream_gbs(_proof: Avx512Vnni, stream: Stream, bytes: usize, runs: usize) -> Result<f64, KernelError> {
    let parts = if stream == Stream::Copy { 2 } else { 1 };
    let part = bytes.div_ceil(parts).next_multiple_of(STEP).max(STEP);
    let mut buffer = Buffer::<u8>::new(part * parts);
    let source = buffer.as_mut_ptr();
    let moved = if stream == Stream::Load { part } else { 2 * part };
    let rounds = BYTES_PER_RUN.div_ceil(moved);
    let args = PeakArgs { rounds, source, source_end: source.wrapping_add(part), distance: part * (parts - 1) };
    giga(emit_stream(stream)?, &args, rounds * moved, runs)
}

fn emit_stream(stream: Stream) -> Result<Code, JitError> {
    let mut regs = RegFile::new();
    let rounds = regs.gpr("passes left")?;
    let source = regs.gpr("source")?;
    let end = regs.gpr("end of the source")?;
    let destination = regs.gpr("destination")?;
    let data = regs.zmms(UNROLL, "data")?;
    let mut a = Asm::new();
    let load = |a: &mut Asm, gpr: Gpr, offset: usize| a.load_arg(gpr, &regs, offset);
    a.begin_function(&regs);
    load(&mut a, rounds, offset_of!(PeakArgs, rounds));
    load(&mut a, end, offset_of!(PeakArgs, source_end));
    dynasm!(a ; .arch x64 ; ->pass:);
    load(&mut a, source, offset_of!(PeakArgs, source));
    load(&mut a, destination, offset_of!(PeakArgs, distance));
    dynasm!(a ; .arch x64 ; add Rq(destination), Rq(source));
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; ->vectors:);
    for (i, &data) in data.iter().enumerate() {
        Evex::vmovups(&mut a, data, ptr(source) + i as i32 * VECTOR_BYTES);
    }
    if stream != Stream::Load {
        for (i, &data) in data.iter().enumerate() {
            Evex::vmovups_st(&mut a, ptr(destination) + i as i32 * VECTOR_BYTES, data);
        }
    }
    let step = STEP as i32;
    dynasm!(a
        ; .arch x64
        ; add Rq(destination), step
        ; add Rq(source), step
        ; cmp Rq(source), Rq(end)
        ; jne ->vectors
        ; dec Rq(rounds)
        ; jnz ->pass
    );
    a.end_function(&regs);
    a.finish(format!("peak-{stream:?}-avx512vnni").to_lowercase(), &regs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_twice_as_many_as_words() {
        let Some(proof) = Avx2::detect() else {
            println!("skipped: no AVX2");
            return;
        };
        let runs = 20;
        let words = avx2_gops(proof.without_vnni(), runs).unwrap();
        assert!(words > 1.0, "{words} GOP/s");
        let twos = avx2_twos_gops(proof, runs).unwrap();
        assert!(twos > 0.9 * words, "{twos} and {words} GOP/s: three multiplications in place of four");
        if proof.vnni() {
            let bytes = avx2_gops(proof, runs).unwrap();
            assert!(bytes > 1.3 * words, "{bytes} and {words} GOP/s");
        }
    }

    #[test]
    fn limits_are_in_their_order() {
        let Some(proof) = Avx512Vnni::detect() else {
            crate::support::check_required_tier();
            println!("skipped: no AVX-512 VNNI");
            return;
        };
        let runs = 20;
        let (vnni, fma) = (vnni_gops(proof, runs).unwrap(), fma_gflops(proof, runs).unwrap());
        assert!(fma > 1.0 && vnni > 1.5 * fma, "{vnni} GOP/s, {fma} GFLOP/s"); // four times as many operations per lane
        let (l1, l2) = (load_gbs(proof, 16 << 10, runs).unwrap(), load_gbs(proof, 512 << 10, runs).unwrap());
        assert!(l2 > 0.5 && l1 > l2, "L1 {l1} GB/s, beyond {l2} GB/s");
        for bandwidth in [copy_gbs, update_gbs] {
            let (inside, beyond) = (bandwidth(proof, 16 << 10, runs).unwrap(), bandwidth(proof, 64 << 20, 2).unwrap());
            assert!(beyond > 0.1 && inside > beyond, "L1 {inside} GB/s, memory {beyond} GB/s");
        }
        assert!(load_gbs(proof, 0, 0).unwrap() > 0.1);
    }
}
