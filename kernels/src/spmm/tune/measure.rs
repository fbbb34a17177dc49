//! Candidates on the clock.

use std::time::{Duration, Instant};

use crate::cache::KernelCache;
use crate::layout::elements;
use crate::spmm::{SpmmKernel, SpmmPlan, SpmmWeights};
use crate::{Buffer, Generate, KernelError, OutputBuffer, Parallel};

/// One sample takes at least this long, so that the clock's own resolution vanishes in it.
const SAMPLE: Duration = Duration::from_micros(20);
/// Samples of every candidate, however short the budget.
const MIN_ROUNDS: usize = 3;

/// The shortest time of each plan on `columns` columns, hot. The plans take turns, so that a machine that changes its speed
/// changes it for all.
pub(super) fn times(
    plans: &[SpmmPlan],
    weights: &SpmmWeights,
    columns: usize,
    budget: Duration,
) -> Result<Vec<Duration>, KernelError> {
    let keys: Vec<_> = plans.iter().map(Generate::key).collect();
    let (compiled, _) = KernelCache::global().compile(&keys)?;
    let kernels =
        plans.iter().zip(compiled).map(|(&plan, code)| SpmmKernel::new(plan, code)).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = plans.first() else { return Ok(Vec::new()) };

    let mut x = Buffer::<u8>::new(elements(first.k(), columns));
    x.iter_mut().enumerate().for_each(|(i, byte)| *byte = (i * 31) as u8);
    let mut out = OutputBuffer::new(first.epilogue().sink.store, elements(first.m(), columns));
    let mut run = |kernel: &SpmmKernel, times: usize| -> Result<Duration, KernelError> {
        let start = Instant::now();
        for _ in 0..times {
            kernel.run(weights, &x, columns, out.output(), Parallel::Serial)?;
        }
        Ok(start.elapsed())
    };

    let mut best = vec![Duration::MAX; plans.len()];
    let start = Instant::now();
    let mut round = 0;
    while round < MIN_ROUNDS || start.elapsed() < budget {
        for (kernel, best) in kernels.iter().zip(&mut best) {
            let once = run(kernel, 1)?; // warms up as well
            let calls = SAMPLE.as_nanos().div_ceil(once.as_nanos().max(1)).clamp(1, 10_000) as usize;
            *best = (*best).min(run(kernel, calls)? / calls as u32);
        }
        round += 1;
    }
    Ok(best)
}
