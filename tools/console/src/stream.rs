//! Results that are written as they are produced.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::output::Target;

/// An open target. Standard output and devices get results at once. A file appears when it is complete: until then its data has no name, where the
/// system knows files without a name, and else a temporary one.
pub struct Stream {
    out: Out,
    path: PathBuf,
}

enum Out {
    Stdout(BufWriter<io::Stdout>),
    Device(BufWriter<File>),
    File(BufWriter<File>, Name),
}

/// What the data of a file is called until it is complete.
enum Name {
    None,
    Temporary(tempfile::TempPath),
    Partial(PathBuf),
}

/// The name of the partial results of a file.
pub fn partial_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(".partial");
    PathBuf::from(name)
}

impl Stream {
    /// Opens the target.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn open(target: &Target) -> Result<Stream> {
        match target {
            Target::Stdout => {
                Ok(Stream { out: Out::Stdout(BufWriter::new(io::stdout())), path: "standard output".into() })
            }
            Target::Device(path) => {
                let file = File::options().write(true).open(path).map_err(Error::io(path, "open"))?;
                Ok(Stream { out: Out::Device(BufWriter::new(file)), path: path.clone() })
            }
            Target::File(path) => {
                let (file, name) = unnamed(path).map_err(Error::io(path, "create"))?;
                Ok(Stream { out: Out::File(BufWriter::new(file), name), path: path.clone() })
            }
        }
    }

    /// Opens the partial results of a file, to go on after `bytes` of them.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn open_partial(path: &Path, bytes: u64) -> Result<Stream> {
        let partial = partial_path(path);
        let failed = |source| Error::io(&partial, "open")(source);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        }
        let mut file = options.open(&partial).map_err(failed)?;
        file.set_len(bytes).and_then(|()| file.seek(SeekFrom::End(0))).map_err(failed)?;
        Ok(Stream { out: Out::File(BufWriter::new(file), Name::Partial(partial)), path: path.to_owned() })
    }

    /// The error for a failure to write.
    pub fn failed(&self, source: io::Error) -> Error {
        match &self.out {
            Out::Stdout(_) => Error::Stdout(source),
            _ => Error::io(&self.path, "write")(source),
        }
    }

    /// Hands over what was written so far.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Stdout`]
    pub fn flush_results(&mut self) -> Result<()> {
        self.flush().map_err(|error| self.failed(error))
    }

    /// The file, if what was written can be changed later.
    pub fn seekable(&mut self) -> io::Result<Option<&mut File>> {
        self.flush()?;
        match &mut self.out {
            Out::File(file, _) => Ok(Some(file.get_mut())),
            _ => Ok(None),
        }
    }

    /// Whether the results go to a file that appears when it is complete.
    pub fn is_file(&self) -> bool {
        matches!(self.out, Out::File(..))
    }

    /// Brings everything to the disk: bytes that are there.
    pub fn sync(&mut self) -> io::Result<u64> {
        self.flush()?;
        match &mut self.out {
            Out::File(file, _) => {
                file.get_ref().sync_data()?;
                file.get_mut().stream_position()
            }
            _ => Ok(0),
        }
    }

    /// Completes the results: a file gets its name.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Stdout`]
    pub fn finish(self) -> Result<()> {
        let path = self.path.clone();
        self.name(&path)
    }

    /// Keeps what there is of an incomplete file, as its partial results.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Stdout`]
    pub fn keep_partial(self) -> Result<()> {
        match self.is_file() {
            true => {
                let path = partial_path(&self.path);
                self.name(&path)
            }
            false => self.finish(),
        }
    }

    fn name(mut self, path: &Path) -> Result<()> {
        if let Err(error) = self.flush() {
            return Err(self.failed(error));
        }
        let Out::File(file, name) = self.out else { return Ok(()) };
        let file = file.get_ref();
        file.sync_all().map_err(Error::io(&self.path, "write"))?;
        let named = match name {
            Name::None => name_unnamed(file, path),
            Name::Temporary(temporary) => temporary.persist(path).map_err(|error| error.error),
            Name::Partial(partial) if partial == path => Ok(()),
            Name::Partial(partial) => std::fs::rename(partial, path),
        };
        named.map_err(Error::io(path, "create"))
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.out {
            Out::Stdout(out) => out.write(bytes),
            Out::Device(out) | Out::File(out, _) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.out {
            Out::Stdout(out) => out.flush(),
            Out::Device(out) | Out::File(out, _) => out.flush(),
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".lacuna-");
    builder
}

/// A new file in the folder of `path`.
fn unnamed(path: &Path) -> io::Result<(File, Name)> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666); // less the umask, as for any new file
        // Some file systems know no files without a name, and /proc, which gives them one, may be missing.
        if Path::new("/proc/self/fd").is_dir()
            && let Ok(fd) = rustix::fs::open(folder_of(path), flags, mode)
        {
            return Ok((File::from(fd), Name::None));
        }
    }
    let mut builder = builder();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let (file, name) = builder.tempfile_in(folder_of(path))?.into_parts();
    Ok((file, Name::Temporary(name)))
}

/// Gives a name to a file that has none: first a temporary one, since only a rename replaces an older file.
#[cfg(target_os = "linux")]
fn name_unnamed(file: &File, path: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    use rustix::fs::{AtFlags, CWD, linkat};
    let source = format!("/proc/self/fd/{}", file.as_raw_fd());
    let link = |name: &Path| Ok(linkat(CWD, &source, CWD, name, AtFlags::SYMLINK_FOLLOW)?);
    let named = builder().make_in(folder_of(path), link)?;
    named.into_temp_path().persist(path).map_err(|error| error.error)
}

#[cfg(not(target_os = "linux"))]
fn name_unnamed(_: &File, _: &Path) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported)) // no file is without a name here
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        std::fs::write(&path, "old").unwrap();
        let target = Target::new(Some(&path)).unwrap();
        let mut stream = Stream::open(&target).unwrap();
        stream.write_all(b"new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        stream.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        let mut stream = Stream::open(&target).unwrap();
        stream.write_all(b"lost").unwrap();
        drop(stream);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(dir.path()), ["out"]);
    }

    #[test]
    fn partial_results_are_kept_and_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let mut stream = Stream::open(&Target::new(Some(&path)).unwrap()).unwrap();
        stream.write_all(b"one two").unwrap();
        stream.keep_partial().unwrap();
        assert_eq!(names(dir.path()), ["out.partial"]);
        let mut stream = Stream::open_partial(&path, 4).unwrap();
        stream.write_all(b"three").unwrap();
        assert_eq!(stream.sync().unwrap(), 9);
        stream.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one three");
        assert_eq!(names(dir.path()), ["out"]);
    }
}
