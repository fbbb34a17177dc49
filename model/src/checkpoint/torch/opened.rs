//! An open file under a path that leads to it and to no other.
//!
//! `pytorch-reader` takes paths. Between the scan of a file and its reading, another file can take its place, and would be
//! read without a scan. So the reader is given a path that the system resolves to the open file itself, where the system has
//! such paths. Elsewhere the file is looked at again after reading.

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, WeightError};

/// The path of an open file.
pub(super) struct Opened<'a> {
    file: &'a File,
    before: Metadata,
    /// What the user calls it.
    name: &'a Path,
    /// What leads to it.
    pub(super) path: PathBuf,
}

impl<'a> Opened<'a> {
    pub(super) fn new(name: &'a Path, file: &'a File) -> Result<Opened<'a>> {
        let path = path_of(file).unwrap_or_else(|| name.to_owned());
        Ok(Opened { file, before: described(name, file)?, name, path })
    }

    /// Checks that the file is the same as when it was opened, and that its name still leads to it if it was opened by its name.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        let now = described(self.name, self.file)?;
        let mut is_same = now.len() == self.before.len() && now.modified().ok() == self.before.modified().ok();
        if self.path == self.name {
            let found = std::fs::metadata(self.name).map_err(|source| Error::Io {
                path: self.name.to_owned(),
                action: "look for",
                source,
            })?;
            is_same &= found.len() == now.len() && found.modified().ok() == now.modified().ok();
        }
        match is_same {
            true => Ok(()),
            false => Err(Error::Weights(WeightError::TorchFile {
                path: self.name.to_owned(),
                reason: "it was changed or replaced while it was read".into(),
            })),
        }
    }
}

fn described(name: &Path, file: &File) -> Result<Metadata> {
    file.metadata().map_err(|source| Error::Io { path: name.to_owned(), action: "look at", source })
}

/// The system's own path of an open file.
#[cfg(unix)]
fn path_of(file: &File) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    let number = file.as_raw_fd().to_string();
    // Linux opens the file again, with a position of its own. Other systems give the same position to both, and the reader needs its own.
    let path = Path::new("/proc/self/fd").join(number);
    (cfg!(target_os = "linux") && path.exists()).then_some(path)
}

#[cfg(not(unix))]
fn path_of(_: &File) -> Option<PathBuf> {
    None
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_takes_its_place_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("a.bin");
        std::fs::write(&name, b"scanned").unwrap();
        let file = File::open(&name).unwrap();
        let opened = Opened::new(&name, &file).unwrap();
        let other = dir.path().join("b.bin");
        std::fs::write(&other, b"not scanned").unwrap();
        std::fs::rename(&other, &name).unwrap();
        assert_eq!(std::fs::read(&opened.path).unwrap(), b"scanned");
        opened.check_unchanged().unwrap();
    }

    #[test]
    fn a_file_that_changes_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("a.bin");
        std::fs::write(&name, b"scanned").unwrap();
        let file = File::open(&name).unwrap();
        let opened = Opened::new(&name, &file).unwrap();
        std::fs::OpenOptions::new().append(true).open(&name).unwrap().write_all(b"more").unwrap();
        assert!(matches!(opened.check_unchanged(), Err(Error::Weights(WeightError::TorchFile { .. }))));
    }
}
