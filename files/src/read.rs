//! Regular files, opened without waiting and read within a limit.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// The most bytes of a file with settings: far more than any that is in use.
pub const SETTINGS_LIMIT: u64 = 64 << 20;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It is something else than a regular file.
    #[error("found {found}; expected a regular file")]
    Kind {
        /// What it is.
        found: &'static str,
    },

    /// It has more bytes than its reader takes.
    #[error("found {found} bytes; expected at most {limit}")]
    Size {
        /// Its length in bytes, or one more than the limit if it grows while it is read.
        found: u64,
        /// The most that there may be.
        limit: u64,
    },

    /// The operating system refuses.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried: "open", "read".
        action: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
}

impl From<ReadError> for io::Error {
    /// The operating system's answer, or an error with the same message.
    fn from(error: ReadError) -> io::Error {
        match error {
            ReadError::Io { source, .. } => source,
            other => io::Error::new(io::ErrorKind::InvalidInput, other.to_string()),
        }
    }
}

fn failed(action: &'static str) -> impl Fn(io::Error) -> ReadError {
    move |source| ReadError::Io { action, source }
}

/// Opens a regular file, and gives its length in bytes too. Links are followed.
///
/// # Errors
/// [`ReadError::Kind`] for a directory, pipe, device or socket, without waiting for it; [`ReadError::Io`].
pub fn open(path: &Path) -> Result<(File, u64), ReadError> {
    // Before the opening, which can have effects on a device.
    check(&std::fs::metadata(path).map_err(failed("open"))?)?;
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // If a pipe has taken the file's place meanwhile, the opening does not wait for a writer.
        options.custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC);
    }
    let file = options.open(path).map_err(failed("open"))?;
    let found = file.metadata().map_err(failed("read the size of"))?;
    check(&found)?;
    Ok((file, found.len()))
}

fn check(found: &Metadata) -> Result<(), ReadError> {
    match (found.is_file(), found.is_dir()) {
        (true, _) => Ok(()),
        (false, true) => Err(ReadError::Kind { found: "a directory" }),
        (false, false) => Err(ReadError::Kind { found: "a device, pipe or socket" }),
    }
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// Those of [`open`]; [`ReadError::Size`] for a longer file, before anything of it is read.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    let (file, found) = open(path)?;
    if found > limit {
        return Err(ReadError::Size { found, limit });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(found).unwrap_or_default());
    // One byte more than the limit: the file may have grown, and some files do not say how long they are.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed("read"))?;
    match bytes.len() as u64 > limit {
        true => Err(ReadError::Size { found: bytes.len() as u64, limit }),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert!(matches!(read(&path, 4), Err(ReadError::Size { found: 5, limit: 4 })));
        assert!(matches!(read(&dir.path().join("b"), 4), Err(ReadError::Io { action: "open", .. })));
        assert!(matches!(read(dir.path(), 4), Err(ReadError::Kind { found: "a directory" })));
    }

    #[test]
    fn a_sparse_file_is_refused_by_its_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sparse");
        File::create(&path).unwrap().set_len(6 << 30).unwrap();
        assert!(matches!(read(&path, SETTINGS_LIMIT), Err(ReadError::Size { found, .. }) if found == 6 << 30));
    }

    #[test]
    #[cfg(unix)]
    fn what_never_ends_is_refused() {
        assert!(matches!(read(Path::new("/dev/zero"), 4), Err(ReadError::Kind { .. })));
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo is there");
        assert!(matches!(read(&pipe, 4), Err(ReadError::Kind { .. })));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        assert!(matches!(read(&link, 4), Err(ReadError::Kind { .. })));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_that_does_not_tell_its_length_is_bounded() {
        // Length 0 by its metadata.
        assert!(matches!(read(Path::new("/proc/self/maps"), 10), Err(ReadError::Size { found: 11, limit: 10 })));
        assert!(!read(Path::new("/proc/self/status"), SETTINGS_LIMIT).unwrap().is_empty());
    }
}
