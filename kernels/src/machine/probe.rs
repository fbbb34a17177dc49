//! The facts of this machine, measured.
//!
//! All loops run in turn, again and again, for the time of the budget. The fastest run of each counts, because noise only ever slows a
//! run down. Cycles are those of a chain of additions, each of which takes one cycle, so no counter of the CPU is needed.

use std::time::{Duration, Instant};

use lacuna_jit::cpu::Caches;
use lacuna_jit::{Avx512Vnni, CodeArena, Entry};

use super::facts::Facts;
use super::loops::{AT_ONCE, ProbeArgs, Subject};
use crate::layout::VECTOR_BYTES;
use crate::{Buffer, KernelError};

/// Time for all loops. With making their code the probe stays below 30 ms.
const BUDGET: Duration = Duration::from_millis(20);
/// Rounds that are run even if they take longer.
const LEAST_ROUNDS: usize = 3;
/// Mixes of dot products with unpacks: dot products of 24 instructions.
const MIXES: [usize; 3] = [16, 12, 8];
/// The bit of the random numbers that decides a branch.
const RANDOM_BIT: u64 = 1 << 20;
/// Odd constant whose multiples are seeds: 2^64 over the golden ratio.
const SEEDS: u64 = 0x9e37_79b9_7f4a_7c15;

/// Measures the facts of this machine in at most 30 ms.
///
/// # Errors
/// [`KernelError::Jit`] if executable memory is refused, [`KernelError::Facts`] if the figures are not believable.
pub fn measure(proof: Avx512Vnni) -> Result<Facts, KernelError> {
    let caches = Caches::detect().unwrap_or(Caches::TYPICAL);
    let mut probe = Probe::new(proof, &caches)?;
    let start = Instant::now();
    let mut rounds = 0;
    while rounds < LEAST_ROUNDS || start.elapsed() < BUDGET {
        rounds += 1;
        probe.round(rounds as u64);
    }
    let facts = probe.facts(&caches);
    facts.check()?;
    Ok(facts)
}

/// A loop and its fastest run.
struct Timed {
    subject: Subject,
    /// [`ProbeArgs::mask`]
    mask: u64,
    entry: Entry<ProbeArgs>,
    seconds: f64,
}

struct Probe {
    timed: Vec<Timed>,
    buffer: Buffer<u8>,
    _proof: Avx512Vnni,
}

impl Probe {
    fn new(proof: Avx512Vnni, caches: &Caches) -> Result<Probe, KernelError> {
        use Subject::*;
        const SUMMAND: u64 = 1;
        let mut subjects = vec![(Clock, SUMMAND), (Branches, 0), (Branches, RANDOM_BIT)];
        let others = [Dots, DotLatency, Shuffles, Operations, ZmmLoads, YmmLoads, ZmmStores, L2Loads, Instructions];
        subjects.extend(others.into_iter().chain(MIXES.map(Mix)).map(|subject| (subject, 0)));

        let mut arena = CodeArena::new();
        let mut ids = Vec::with_capacity(subjects.len());
        for (subject, _) in &subjects {
            ids.push(arena.push(subject.emit()?));
        }
        let sealed = arena.seal()?;
        let functions = ids.into_iter().filter_map(|id| sealed.function(id));
        let timed = subjects.into_iter().zip(functions).map(|((subject, mask), function)| {
            // SAFETY: `Subject::emit` reads its argument as `ProbeArgs`.
            let entry = unsafe { function.typed::<ProbeArgs>() };
            Timed { subject, mask, entry, seconds: f64::INFINITY }
        });

        // Half of L2, but more than L1 and no more than walks quickly.
        let bytes = (caches.l2 / 2).max(4 * caches.l1d).min(512 << 10);
        let mut buffer = Buffer::<u8>::new(bytes.next_multiple_of(AT_ONCE * VECTOR_BYTES as usize));
        buffer.fill(1); // pages that were never written may all be one page
        Ok(Probe { timed: timed.collect(), buffer, _proof: proof })
    }

    /// Runs every loop once.
    fn round(&mut self, number: u64) {
        let bytes = self.buffer.len();
        let buffer = self.buffer.as_mut_ptr();
        for Timed { subject, mask, entry, seconds } in &mut self.timed {
            // Another sequence every time: branch predictors learn one that repeats.
            let seed = number.wrapping_mul(SEEDS) | 1;
            let end = buffer.wrapping_add(bytes);
            let args = ProbeArgs { rounds: subject.rounds(bytes), buffer, end, mask: *mask, seed };
            let start = Instant::now();
            // SAFETY: the token proves the CPU features; the code touches registers and the buffer, which has a multiple of `AT_ONCE`
            // vectors and at least that many.
            unsafe { entry.call(&args) };
            *seconds = seconds.min(start.elapsed().as_secs_f64());
        }
    }

    /// The fastest seconds of one iteration.
    fn seconds(&self, subject: Subject, mask: u64) -> f64 {
        let found = self.timed.iter().find(|timed| (timed.subject, timed.mask) == (subject, mask));
        found.map_or(f64::NAN, |timed| timed.seconds / subject.rounds(self.buffer.len()) as f64)
    }

    fn facts(&self, caches: &Caches) -> Facts {
        let bytes = self.buffer.len();
        let hertz = Subject::Clock.count(bytes) as f64 / self.seconds(Subject::Clock, 1);
        let rate = |subject: Subject| subject.count(bytes) as f64 / self.seconds(subject, 0) / hertz;
        let (dots, shuffles) = (rate(Subject::Dots), rate(Subject::Shuffles));
        // Units that two classes share execute at least what one of them executes alone.
        let together = MIXES.map(|dots| rate(Subject::Mix(dots))).into_iter().fold(dots.max(shuffles), f64::max);
        let (predicted, random) = (self.seconds(Subject::Branches, 0), self.seconds(Subject::Branches, RANDOM_BIT));
        Facts {
            ghz: hertz * 1e-9,
            dots,
            dot_latency: 1.0 / rate(Subject::DotLatency),
            shuffles,
            dots_and_shuffles: together,
            operations: rate(Subject::Operations).max(together),
            zmm_loads: rate(Subject::ZmmLoads),
            ymm_loads: rate(Subject::YmmLoads),
            zmm_stores: rate(Subject::ZmmStores),
            l2_loads: rate(Subject::L2Loads),
            instructions: rate(Subject::Instructions),
            branch_miss: (random - predicted) * hertz / 0.5, // half of the branches are mispredicted
            l1d: caches.l1d,
            l2: caches.l2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wide limits, because other processes share the machine.
    #[test]
    fn measured_facts_are_those_of_a_cpu() {
        let Some(proof) = Avx512Vnni::detect() else {
            crate::support::check_required_tier();
            println!("skipped: no AVX-512 VNNI");
            return;
        };
        let start = Instant::now();
        let facts = measure(proof).unwrap();
        println!("{facts:#?} in {:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        assert!((0.4..2.5).contains(&facts.dots), "{facts:?}");
        assert!(facts.dots_and_shuffles >= facts.dots && facts.operations >= facts.dots_and_shuffles, "{facts:?}");
        assert!(facts.instructions > facts.dots && facts.l2_loads < 1.5 * facts.zmm_loads, "{facts:?}");
    }
}
