//! The machine's own limits for floats, measured as in [`crate::peak`].

use std::time::Instant;

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Avx512Bf16, Avx512Vnni, Code, CodeArena, Evex, JitError, RegFile};

use super::desc::DType;
use crate::{KernelError, LANES};

/// Independent accumulators: more than latency x throughput (`vfmadd231ps` 4 cycles x 2 per cycle, `vdpbf16ps`
/// 6-7 x 2).
const ACCUMULATORS: usize = 24;
/// Iterations of one timed run: about 50 us.
const ITERATIONS: u64 = 8192;

#[derive(Debug)]
#[repr(C)]
struct PeakArgs {
    iterations: u64,
}

/// The rate of `vfmadd231ps zmm, zmm, zmm`, in GFLOP/s (one multiply or add is one operation): the best of `runs` runs
/// of about 50 us each, because noise only ever slows a run down.
///
/// # Errors
/// [`KernelError::Jit`] if executable memory is refused.
pub fn f32_gflops(_proof: Avx512Vnni, runs: usize) -> Result<f64, KernelError> {
    measure(DType::F32, runs)
}

/// The rate of `vdpbf16ps zmm, zmm, zmm`, in GFLOP/s, as [`f32_gflops`].
///
/// # Errors
/// [`KernelError::Jit`] if executable memory is refused.
pub fn bf16_gflops(_proof: Avx512Bf16, runs: usize) -> Result<f64, KernelError> {
    measure(DType::Bf16, runs)
}

/// The callers hold the proof of the features that the instruction for `dtype` needs.
fn measure(dtype: DType, runs: usize) -> Result<f64, KernelError> {
    let mut arena = CodeArena::new();
    let id = arena.push(emit(dtype)?);
    let sealed = arena.seal()?;
    let Some(function) = sealed.function(id) else { return Ok(0.0) };
    // SAFETY: `emit` reads its argument as `PeakArgs`.
    let entry = unsafe { function.typed::<PeakArgs>() };
    let operations = (ITERATIONS as usize * ACCUMULATORS * 2 * dtype.inputs() * LANES) as f64;
    let best = (0..runs.max(1))
        .map(|_| {
            let start = Instant::now();
            // SAFETY: the caller's token proves the CPU features; the code touches registers only.
            unsafe { entry.call(&PeakArgs { iterations: ITERATIONS }) };
            operations / start.elapsed().as_secs_f64() * 1e-9
        })
        .fold(0.0, f64::max);
    Ok(best)
}

fn emit(dtype: DType) -> Result<Code, JitError> {
    let mut regs = RegFile::new();
    let iterations = regs.gpr("iterations left")?;
    let acc = regs.zmms(ACCUMULATORS, "accumulators")?;
    let (x, w) = (regs.zmm("activations (zeros)")?, regs.zmm("weights (zeros)")?);
    let mut a = Asm::new();
    a.begin_function(&regs);
    a.load_arg(iterations, &regs, std::mem::offset_of!(PeakArgs, iterations));
    for &zmm in acc.iter().chain([&x, &w]) {
        a.vpxord(zmm, zmm, zmm);
    }
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; ->again:);
    for &acc in &acc {
        match dtype {
            DType::F32 => a.vfmadd231ps(acc, x, w),
            DType::Bf16 => a.vdpbf16ps(acc, x, w),
        }
    }
    dynasm!(a ; .arch x64 ; dec Rq(iterations) ; jnz ->again);
    a.end_function(&regs);
    a.finish(format!("peak-{dtype}-avx512vnni"), &regs)
}
