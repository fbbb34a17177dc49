//! Processes that were made by `fork` from one that had used the library.
//!
//! Such a process has the memory of the other one, but not its threads: work that is given to the thread pool would wait for ever.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use crate::error::{Error, Result};

/// The process that used the global pool first; 0 before that.
static USED_BY: AtomicU32 = AtomicU32::new(0);

/// Refuses to use a global pool whose threads are in another process. Calls inside a pool of the caller are always possible.
///
/// # Errors
/// [`Error::Forked`].
pub fn check() -> Result<()> {
    if rayon::current_thread_index().is_some() {
        return Ok(());
    }
    check_process(&USED_BY, std::process::id())
}

fn check_process(used_by: &AtomicU32, process: u32) -> Result<()> {
    match used_by.compare_exchange(0, process, Relaxed, Relaxed) {
        Err(parent) if parent != process => Err(Error::Forked { process, parent }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_process_may_go_on_and_its_children_are_told() {
        let used_by = AtomicU32::new(0);
        assert!(check_process(&used_by, 7).is_ok() && check_process(&used_by, 7).is_ok());
        let error = check_process(&used_by, 8).unwrap_err();
        assert!(matches!(error, Error::Forked { process: 8, parent: 7 }), "{error}");
        assert!(error.to_string().contains("pool.install"), "{error}");
    }

    #[test]
    fn a_pool_of_the_caller_is_always_possible() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(check).unwrap();
    }
}
