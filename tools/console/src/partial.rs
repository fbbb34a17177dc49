//! Partial results of a file: one run at a time has them.
//!
//! The lock is that of the operating system on `FILE.partial`. It ends with the process, however that ends.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use crate::error::{Error, Result};

/// The name of the partial results of a file.
pub fn partial_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(".partial");
    PathBuf::from(name)
}

/// What was written to a file, and is on the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes at the beginning that are written again at the end, and are not in the hash.
    pub head: u64,
    /// All bytes.
    pub bytes: u64,
    /// Of the bytes after the head.
    pub hash: u128,
}

/// The partial results of a file, which no other run has.
#[derive(Debug)]
pub struct Partial {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    /// The file that they become.
    pub(crate) whole: PathBuf,
}

impl Partial {
    /// Opens the partial results of a file; empty ones if there are none.
    ///
    /// # Errors
    /// [`Error::Busy`] if another run has them; [`Error::Io`].
    pub fn open(whole: &Path) -> Result<Partial> {
        let path = partial_path(whole);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let file = open(&mut options, &path).map_err(Error::io(&path, "open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { path }),
            // Not every file system has locks.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(Error::io(&path, "lock")(error)),
        }
        // The run that had it may have completed it meanwhile: then this is its result.
        match is_at(&file, &path).map_err(Error::io(&path, "open"))? {
            true => Ok(Partial { file, path, whole: whole.to_owned() }),
            false => Err(Error::Busy { path }),
        }
    }

    /// Refuses partial results that another run has.
    ///
    /// # Errors
    /// [`Error::Busy`]
    pub fn check(whole: &Path) -> Result<()> {
        let path = partial_path(whole);
        // What cannot be opened is refused where it is needed.
        let Ok(file) = open(File::options().read(true), &path) else { return Ok(()) };
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Err(Error::Busy { path }),
            _ => Ok(()),
        }
    }

    /// Their name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that are there.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn bytes(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(Error::io(&self.path, "read"))?.len())
    }

    /// The running hash of the bytes from `head` to `end`, or to the end of the file if that comes first.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn hash(&mut self, head: u64, end: u64) -> Result<Xxh3> {
        let mut hash = Xxh3::new();
        let mut part = vec![0; 1 << 16];
        let mut read = || -> io::Result<()> {
            self.file.seek(SeekFrom::Start(head))?;
            let mut rest = (&self.file).take(end.saturating_sub(head));
            loop {
                match rest.read(&mut part)? {
                    0 => return Ok(()),
                    count => hash.update(&part[..count]),
                }
            }
        };
        read().map_err(Error::io(&self.path, "read"))?;
        Ok(hash)
    }
}

/// Opens a regular file, and neither a link nor a pipe in its place.
fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;

        use rustix::fs::OFlags;
        options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    }
    let file = options.open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "found no regular file; expected one")),
    }
}

/// Whether a path still names an open file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let place = |found: std::fs::Metadata| (found.dev(), found.ino());
        let found = match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            found => found?,
        };
        Ok(place(file.metadata()?) == place(found))
    }
    #[cfg(not(unix))]
    {
        let _ = (file, path); // an open file cannot be renamed here
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_has_them_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        Partial::check(&path).unwrap();
        let first = Partial::open(&path).unwrap();
        assert!(matches!(Partial::check(&path), Err(Error::Busy { .. })));
        let error = Partial::open(&path).unwrap_err().to_string();
        assert!(error.contains("out.partial: found another run"), "{error}");
        drop(first);
        Partial::check(&path).unwrap();
        Partial::open(&path).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn links_and_pipes_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        std::os::unix::fs::symlink(dir.path().join("other"), partial_path(&path)).unwrap();
        assert!(matches!(Partial::open(&path), Err(Error::Io { action: "open", .. })));
        std::fs::remove_file(partial_path(&path)).unwrap();
        // No process is started for it: until that runs its program, it would share the locks of the other tests.
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, partial_path(&path), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(matches!(Partial::open(&path), Err(Error::Io { action: "open", .. })));
    }
}
