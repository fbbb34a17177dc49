//! What all subcommands share: the tier and the threads.

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
        Ok(Context { tier: Tier::select(tier)?, threads })
    }

    /// The instruction set that kernels of the tier are made for.
    pub fn isa(&self) -> Isa {
        Isa::for_tier(self.tier)
    }

    /// `--threads`, or all cores.
    pub fn threads(&self) -> usize {
        self.threads.first().copied().unwrap_or_else(cores)
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

/// CPUs that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// A pool of `threads` workers.
pub fn pool(threads: usize) -> Result<ThreadPool> {
    ThreadPoolBuilder::new().num_threads(threads).build().map_err(|source| Error::Threads { threads, source })
}
