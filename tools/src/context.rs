//! What all subcommands share: the tier and the threads.

use std::num::NonZero;

use lacuna::CompileOptions;
use lacuna_jit::{Isa, Tier};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};

/// The tier in use and the threads asked for.
pub(crate) struct Context {
    /// From `--tier`, else `LACUNA_TIER`, else the best of this machine.
    pub(crate) tier: Tier,
    threads: Option<usize>,
}

impl Context {
    /// Selects the tier once, so that a bad one is refused before anything else happens.
    pub(crate) fn new(tier: Option<Tier>, threads: Option<usize>) -> Result<Context> {
        Ok(Context { tier: Tier::select(tier)?, threads })
    }

    /// The instruction set that kernels of the tier are made for.
    pub(crate) fn isa(&self) -> Isa {
        Isa::for_tier(self.tier)
    }

    /// Compile options for the tier.
    pub(crate) fn compile_options(&self) -> CompileOptions {
        CompileOptions::default().with_tier(Some(self.tier))
    }

    /// `--threads`, or all cores.
    pub(crate) fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get))
    }

    /// `--threads`, or one: for measurements.
    pub(crate) fn measuring_threads(&self) -> usize {
        self.threads.unwrap_or(1)
    }
}

/// A pool of `threads` workers.
pub(crate) fn pool(threads: usize) -> Result<ThreadPool> {
    ThreadPoolBuilder::new().num_threads(threads).build().map_err(|source| Error::Threads { threads, source })
}
