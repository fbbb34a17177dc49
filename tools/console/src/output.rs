//! Where results go: standard output, or a file that appears only when it is complete.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use lacuna_model::files::{self, WriteError};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::process;
pub use crate::remarks::say;

/// Prints to standard output.
pub fn print(text: impl Display) -> Result<()> {
    stdout(|out| write!(out, "{text}"))
}

/// Prints a value as indented JSON to standard output.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    stdout(|out| write_json(out, value))
}

/// Writes a value as indented JSON and a line break.
pub fn write_json(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// Runs `write` on buffered standard output and flushes.
pub fn stdout(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    process::check_stdout().map_err(Error::Stdout)?;
    let mut out = BufWriter::new(io::stdout().lock());
    write(&mut out).and_then(|()| out.flush()).map_err(Error::Stdout)
}

/// Where a command writes its result.
#[derive(Debug)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A regular file, replaced when its successor is complete.
    File(PathBuf),
    /// A device or pipe, which cannot be replaced: written directly.
    Device(PathBuf),
}

impl Target {
    /// The target that `--output` names; checked now, so that a wrong path is refused before the work is done.
    pub fn new(path: Option<&Path>) -> Result<Target> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            process::check_stdout().map_err(Error::Stdout)?;
            return Ok(Target::Stdout);
        };
        // Follow links, so that a link stays one.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let failed = |kind| Err(Error::Io { path: path.clone(), action: "create", source: io::Error::from(kind) });
        match path.metadata() {
            Ok(found) if found.is_dir() => failed(io::ErrorKind::IsADirectory),
            Ok(found) if !found.is_file() => Ok(Target::Device(path)),
            _ => match directory(&path).metadata() {
                Ok(found) if found.is_dir() => Ok(Target::File(path)),
                Ok(_) => failed(io::ErrorKind::NotADirectory),
                Err(source) => Err(Error::Io { path, action: "create", source }),
            },
        }
    }

    /// The path of a regular file; anything else is refused, named as `option` says.
    pub fn file(&self, option: &'static str) -> Result<&Path> {
        let found = match self {
            Target::File(path) => return Ok(path),
            Target::Stdout => "standard output".to_owned(),
            Target::Device(path) => path.display().to_string(),
        };
        Err(Error::Argument { option, found, expected: "the name of a file, which can be mapped".into() })
    }

    /// Whether the result would land on a screen.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Target::Stdout) && io::stdout().is_terminal()
    }

    /// Runs `write` on the target. A file is written under a temporary name and renamed when it is complete.
    pub fn write(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        match self {
            Target::Stdout => stdout(write),
            Target::Device(path) => {
                let file = open_device(path).map_err(Error::io(path, "open"))?;
                let mut out = BufWriter::new(file);
                write(&mut out).and_then(|()| out.flush()).map_err(Error::io(path, "write"))
            }
            Target::File(path) => {
                let written = files::replace(path, |file| {
                    let mut out = BufWriter::new(file);
                    write(&mut out)?;
                    out.flush()
                });
                written.map_err(|WriteError { action, source }| Error::io(path, action)(source))
            }
        }
    }
}

/// Opens a device or a pipe for writing. A pipe must have its reader: the opening would wait for one without end.
pub(crate) fn open_device(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

        use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
        options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let file = options.open(path).map_err(|error| {
            let is_alone = error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error());
            match is_alone && path.metadata().is_ok_and(|found| found.file_type().is_fifo()) {
                true => io::Error::new(error.kind(), "found a pipe that nobody reads; expected its reader to be there"),
                false => error,
            }
        })?;
        // Writing does wait for the reader.
        fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
        Ok(file)
    }
    #[cfg(not(unix))]
    options.open(path)
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        std::fs::write(&path, "old").unwrap();
        let target = Target::new(Some(&path)).unwrap();
        let failed = target.write(|out| {
            out.write_all(b"half")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        assert!(matches!(failed, Err(Error::Io { action: "write", .. })), "{failed:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        target.write(|out| out.write_all(b"new")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn impossible_places_are_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Target::new(Some(dir.path())), Err(Error::Io { action: "create", .. })));
        assert!(matches!(Target::new(Some(&dir.path().join("no/where"))), Err(Error::Io { action: "create", .. })));
        assert!(matches!(Target::new(Some(Path::new("-"))), Ok(Target::Stdout)));
    }

    #[test]
    #[cfg(unix)]
    fn devices_and_links_are_not_replaced() {
        assert!(matches!(Target::new(Some(Path::new("/dev/null"))), Ok(Target::Device(_))));
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        Target::new(Some(&link)).unwrap().write(|out| out.write_all(b"new")).unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "new");
    }
}
