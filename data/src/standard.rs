//! The standard streams that were closed when the process began.

use std::io;

/// Refuses a standard input that was closed when the process began (`<&-`). The standard library opens the null device in its place.
///
/// # Errors
/// That of a closed file.
pub fn check_stdin() -> io::Result<()> {
    #[cfg(unix)]
    unix::check(0)?;
    Ok(())
}

/// Refuses a standard output that was closed when the process began (`>&-`): results would be lost without a word.
///
/// # Errors
/// That of a closed file.
pub fn check_stdout() -> io::Result<()> {
    #[cfg(unix)]
    unix::check(1)?;
    Ok(())
}

#[cfg(unix)]
mod unix {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    /// Whether standard input and standard output were closed when the process began.
    static CLOSED: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];

    /// Looks at the descriptors before the standard library replaces closed ones, which its own start does.
    #[used]
    #[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
    #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
    static LOOK: extern "C" fn() = look;

    extern "C" fn look() {
        for (number, closed) in (0..).zip(&CLOSED) {
            // SAFETY: F_GETFD takes any number, changes nothing, and fails only for a descriptor that is not open.
            closed.store(unsafe { libc::fcntl(number, libc::F_GETFD) } == -1, Relaxed);
        }
    }

    pub(super) fn check(number: usize) -> io::Result<()> {
        match CLOSED[number].load(Relaxed) {
            true => Err(io::Error::from_raw_os_error(libc::EBADF)),
            false => Ok(()),
        }
    }
}
