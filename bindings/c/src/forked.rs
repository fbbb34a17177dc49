//! Processes that were made by `fork` from one that had used the library: they have its memory, but not its threads.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How often this process and those before it were forked since the library was first used.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// What tells this process from those that it was forked from. A number of a process would not do: processes in two namespaces may have the same.
pub(crate) fn generation() -> u32 {
    #[cfg(unix)]
    {
        extern "C" fn count() {
            FORKS.fetch_add(1, Relaxed);
        }
        static REGISTER: Once = Once::new();
        REGISTER.call_once(|| {
            // SAFETY: the function does what is allowed in a child of `fork`, and stays where it is as long as the library does.
            let _ = unsafe { libc::pthread_atfork(None, None, Some(count)) };
        });
    }
    FORKS.load(Relaxed)
}

/// What is wrong in such a process, and what to do.
pub(crate) fn text(process: u32) -> String {
    format!(
        "process {process} was forked from one that had used the library, whose threads are not in the child. Open the model in the child, with the \
         option `threads`; or fork before the library is used"
    )
}
