//! The machine's own limit, measured by a generated loop in the same process: what kernel speeds are compared with.

use std::time::Instant;

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Avx512Vnni, Code, CodeArena, Evex, JitError, RegFile};

use crate::{KernelError, LANES};

/// Independent accumulators: more than latency x throughput of any `vpdpbusd` (4-5 cycles x 2 per cycle).
const ACCUMULATORS: usize = 24;
/// Iterations of one timed run: about 50 us.
const ITERATIONS: u64 = 8192;
/// Multiply and add for each of four bytes in each of 16 lanes.
const OPERATIONS: usize = 2 * 4 * LANES;

#[derive(Debug)]
#[repr(C)]
struct PeakArgs {
    iterations: u64,
}

/// The rate of `vpdpbusd zmm, zmm, zmm`, in GOP/s (one multiply or add is one operation): the best of `runs` runs of about 50 us
/// each, because noise only ever slows a run down.
///
/// # Errors
/// [`KernelError::Jit`] if executable memory is refused.
pub fn vnni_gops(_proof: Avx512Vnni, runs: usize) -> Result<f64, KernelError> {
    let mut arena = CodeArena::new();
    let id = arena.push(emit()?);
    let sealed = arena.seal()?;
    let Some(function) = sealed.function(id) else { return Ok(0.0) };
    // SAFETY: `emit` reads its argument as `PeakArgs`.
    let entry = unsafe { function.typed::<PeakArgs>() };
    let operations = (ITERATIONS as usize * ACCUMULATORS * OPERATIONS) as f64;
    let best = (0..runs.max(1))
        .map(|_| {
            let start = Instant::now();
            // SAFETY: the token proves the CPU features; the code touches registers only.
            unsafe { entry.call(&PeakArgs { iterations: ITERATIONS }) };
            operations / start.elapsed().as_secs_f64() * 1e-9
        })
        .fold(0.0, f64::max);
    Ok(best)
}

fn emit() -> Result<Code, JitError> {
    let mut regs = RegFile::new();
    let iterations = regs.gpr("iterations left")?;
    let acc = regs.zmms(ACCUMULATORS, "accumulators")?;
    let (x, w) = (regs.zmm("activations (zeros)")?, regs.zmm("weights (zeros)")?);
    let mut a = Asm::new();
    a.prologue(&regs);
    a.load_arg(iterations, &regs, std::mem::offset_of!(PeakArgs, iterations));
    for &zmm in acc.iter().chain([&x, &w]) {
        a.vpxord(zmm, zmm, zmm);
    }
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; ->again:);
    for &acc in &acc {
        a.vpdpbusd(acc, x, w);
    }
    dynasm!(a ; .arch x64 ; dec Rq(iterations) ; jnz ->again);
    a.epilogue(&regs);
    a.finish("peak-vpdpbusd-avx512vnni".to_owned(), &regs)
}
