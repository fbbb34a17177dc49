//! What all subcommands share: the tier and the threads.
//!
//! The machine grants a process the CPUs of its affinity mask, and no more than the CPU quota of its cgroup (version 1 or 2),
//! rounded down. That is the default number of threads, and four times as many are the most.

use std::num::NonZero;

use lacuna_jit::{Isa, Tier};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};

/// The tier in use and the threads asked for.
pub struct Context {
    /// From `--tier`, else `LACUNA_TIER`, else the best of this machine.
    pub tier: Tier,
    /// From `--threads`; empty without.
    threads: Vec<usize>,
}

impl Context {
    /// Selects the tier once, so that a bad one is refused before anything else happens.
    pub fn new(tier: Option<Tier>, threads: &[usize]) -> Result<Context> {
        match threads {
            [] | [_] => Context::with_thread_counts(tier, threads.to_vec()),
            _ => Err(Error::Argument {
                option: "--threads",
                found: threads.iter().map(usize::to_string).collect::<Vec<_>>().join(","),
                expected: "one number; only compare takes a list".into(),
            }),
        }
    }

    /// The same for a command that runs with several thread counts in turn.
    pub fn with_thread_counts(tier: Option<Tier>, threads: Vec<usize>) -> Result<Context> {
        check_threads(&threads, cores())?;
        Ok(Context { tier: Tier::select(tier)?, threads })
    }

    /// The instruction set that kernels of the tier are made for.
    pub fn isa(&self) -> Isa {
        Isa::for_tier(self.tier)
    }

    /// `--threads`, or as many as this process is granted CPUs.
    pub fn threads(&self) -> usize {
        self.threads.first().copied().unwrap_or_else(cores)
    }

    /// `--threads`, if it was given.
    pub fn given_threads(&self) -> Option<usize> {
        self.threads.first().copied()
    }

    /// `--threads`, or one: for measurements.
    pub fn measuring_threads(&self) -> usize {
        self.threads.first().copied().unwrap_or(1)
    }

    /// `--threads` as a list; nothing without.
    pub fn thread_counts(&self) -> &[usize] {
        &self.threads
    }
}

/// Most threads for each CPU that this process is granted: more only wait for each other.
const MOST_PER_CPU: usize = 4;

/// Refuses more threads than `granted` CPUs can make use of.
fn check_threads(threads: &[usize], granted: usize) -> Result<()> {
    let most = MOST_PER_CPU * granted;
    match threads.iter().find(|&&threads| threads > most) {
        None => Ok(()),
        Some(threads) => Err(Error::Argument {
            option: "--threads",
            found: threads.to_string(),
            expected: format!(
                "1 to {most}: this process is granted {granted} CPU{} (affinity mask and cgroup quota)",
                if granted == 1 { "" } else { "s" }
            ),
        }),
    }
}

/// CPUs that this process is granted.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// A pool of `threads` workers.
pub fn pool(threads: usize) -> Result<ThreadPool> {
    ThreadPoolBuilder::new().num_threads(threads).build().map_err(|source| Error::Threads { threads, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_beyond_four_per_cpu_are_refused() {
        assert!(check_threads(&[], 1).is_ok() && check_threads(&[1, 4], 1).is_ok() && check_threads(&[8], 2).is_ok());
        let message = |threads: &[usize], granted| check_threads(threads, granted).unwrap_err().to_string();
        assert_eq!(
            message(&[1, 5], 1),
            "--threads: found 5; expected 1 to 4: this process is granted 1 CPU (affinity mask and cgroup quota)"
        );
        assert!(message(&[1000], 2).contains("1 to 8: this process is granted 2 CPUs"));
    }
}
