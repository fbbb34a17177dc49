//! Which threads a call computes on.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error;

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
    /// `count` threads for each call, or the shared ones.
    pub(crate) fn new(py: Python<'_>, count: Option<usize>) -> PyResult<Threads> {
        match count {
            None => Ok(Threads::Shared),
            Some(count) if count == 0 || count > MOST => {
                let expected = format!("at least 1 and at most {MOST}, or None for those of the process");
                Err(error::option(py, "threads", &count.to_string(), &expected))
            }
            Some(count) => Ok(Threads::Own { count, idle: Mutex::new(Vec::new()) }),
        }
    }

    /// The number that was asked for.
    pub(crate) fn count(&self) -> Option<usize> {
        match self {
            Threads::Shared => None,
            Threads::Own { count, .. } => Some(*count),
        }
    }

    /// Threads for a call.
    pub(crate) fn take(&self, py: Python<'_>) -> PyResult<Taken<'_>> {
        let Threads::Own { count, idle } = self else { return Ok(Taken { threads: self, pool: None }) };
        let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let pool = match kept {
            Some(pool) => pool,
            None => {
                let pool = ThreadPoolBuilder::new().num_threads(*count).build();
                let failed = |error| error::new(py, "machine", &format!("threads: {error}"));
                Arc::new(pool.map_err(failed)?)
            }
        };
        Ok(Taken { threads: self, pool: Some(pool) })
    }
}

/// The threads of a running call, which go back when it ends.
pub(crate) struct Taken<'a> {
    threads: &'a Threads,
    /// `None` is rayon's global pool.
    pub(crate) pool: Option<Arc<ThreadPool>>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let (Threads::Own { idle, .. }, Some(pool)) = (self.threads, self.pool.take()) {
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(pool);
        }
    }
}
