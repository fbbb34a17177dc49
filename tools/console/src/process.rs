//! What the process finds at its start, what it asks of the system, and how it ends without memory.

#[cfg(unix)]
pub use self::unix::Allocator;
pub use lacuna_data::standard::{check_stdin, check_stdout};

/// Asks the system for errors in place of signals: a file over `ulimit -f` is then an error of writing, which is reported like others. Under
/// `ulimit -v` all threads share one heap: glibc would try to reserve one of 64 MiB for each thread, again and again, at every allocation.
pub fn prepare() {
    #[cfg(unix)]
    unix::ignore_file_size_signal();
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unix::share_heap_if_limited();
}

#[cfg(unix)]
mod unix {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::io::Write;

    pub(super) fn ignore_file_size_signal() {
        // SAFETY: ignoring a signal installs no handler.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    pub(super) fn share_heap_if_limited() {
        let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: the system writes one `rlimit`, for which there is room.
        let is_known = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) } == 0;
        if is_known && limit.rlim_cur != libc::RLIM_INFINITY {
            // SAFETY: a number of heaps has no other effect; no other thread runs yet.
            unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
        }
    }

    /// The system's allocator. Without memory the process ends with one line and exit status 2, like after other errors.
    pub struct Allocator;

    // SAFETY: every call is handed to the system's allocator as it is, under the caller's promise.
    unsafe impl GlobalAlloc for Allocator {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's promise.
            given(unsafe { System.alloc(layout) }, layout.size())
        }

        unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
            // SAFETY: the caller's promise.
            unsafe { System.dealloc(memory, layout) }
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's promise.
            given(unsafe { System.alloc_zeroed(layout) }, layout.size())
        }

        unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            // SAFETY: the caller's promise.
            given(unsafe { System.realloc(memory, layout, size) }, size)
        }
    }

    #[inline]
    fn given(memory: *mut u8, size: usize) -> *mut u8 {
        if memory.is_null() {
            end(size);
        }
        memory
    }

    /// Says why, and ends. Nothing here allocates.
    #[cold]
    fn end(size: usize) -> ! {
        let mut line = [0; 128];
        let mut rest = &mut line[..];
        let _ =
            writeln!(rest, "error: out of memory: found no room for {size} bytes; expected more memory (ulimit -v)");
        let left = rest.len();
        // SAFETY: the pointer and the length are those of a part of `line`; `_exit` runs no code of this process.
        unsafe {
            libc::write(2, line.as_ptr().cast(), line.len() - left);
            libc::_exit(2)
        }
    }
}
