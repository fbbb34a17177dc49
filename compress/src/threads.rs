//! Threads of a run.

use std::num::NonZero;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};

/// CPUs that this process is granted.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// A pool of `threads` workers.
pub(crate) fn pool(threads: usize) -> Result<ThreadPool> {
    ThreadPoolBuilder::new().num_threads(threads).build().map_err(|source| Error::Threads { threads, source })
}
