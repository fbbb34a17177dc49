//! Whether a read would wait for somebody to write.

/// How a stream tells that.
pub(crate) enum Wait {
    /// Reads never wait: a regular file.
    Never,
    /// Reads may wait: a pipe or a terminal, which the system is asked about.
    #[cfg(unix)]
    Ask(std::os::fd::OwnedFd),
    /// Reads may wait, and the system is not asked: every piece is answered when it comes.
    #[cfg(not(unix))]
    Always,
}

impl Wait {
    /// Whether a read would give something now, be it the end.
    pub(crate) fn has_input(&self) -> bool {
        match self {
            Wait::Never => true,
            #[cfg(unix)]
            Wait::Ask(fd) => {
                use rustix::event::{PollFd, PollFlags, Timespec, poll};
                let mut fds = [PollFd::new(fd, PollFlags::IN)];
                // Without an answer a read must show it.
                poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
            }
            #[cfg(not(unix))]
            Wait::Always => false,
        }
    }
}
