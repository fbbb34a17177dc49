//! Which threads a call computes on.

use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::status::{Failed, LacunaStatus, Result};

/// Most threads of a call.
const MOST: usize = 1024;

/// The threads of the calls of one encoder.
#[derive(Debug)]
pub(crate) enum Threads {
    /// Those of the process, which all calls share: as many as it is granted CPUs.
    Shared,
    /// So many for each call. Calls at the same time have threads of their own, which are kept for the next call.
    Own { count: usize, idle: Mutex<Vec<Arc<ThreadPool>>> },
}

impl Threads {
    /// `count` threads for each call, or for 0 the shared ones.
    pub(crate) fn new(count: usize) -> Result<Threads> {
        match count {
            0 => Ok(Threads::Shared),
            1..=MOST => Ok(Threads::Own { count, idle: Mutex::new(Vec::new()) }),
            more => Err(Failed::option("threads", &more.to_string(), &format!("0 to {MOST}"))),
        }
    }

    /// Whether they are those of the process.
    pub(crate) fn are_shared(&self) -> bool {
        matches!(self, Threads::Shared)
    }

    /// Runs `work` on threads for one call.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let Threads::Own { count, idle } = self else { return work() };
        let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let pool = match kept {
            Some(pool) => pool,
            None => {
                let pool = ThreadPoolBuilder::new().num_threads(*count).build();
                Arc::new(pool.map_err(|error| {
                    Failed::new(LacunaStatus::Machine, format!("threads: {error}; {count} were asked for"))
                })?)
            }
        };
        let done = pool.install(work); // after a panic the pool is dropped
        idle.lock().unwrap_or_else(PoisonError::into_inner).push(pool);
        done
    }
}
