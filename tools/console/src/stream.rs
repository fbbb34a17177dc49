//! Results that are written as they are produced.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use crate::error::{Error, Result};
use crate::output::{Target, open_device};
use crate::partial::{Partial, Written, partial_path};
use crate::process;

/// An open target. Standard output and devices get results at once. A file appears when it is complete: until then its data has no name, where the
/// system knows files without a name, and else a temporary one.
pub struct Stream {
    out: Out,
    path: PathBuf,
    /// Of the bytes of a file after the head.
    hash: Box<Xxh3>,
    /// Bytes at the beginning of a file that are written again at the end.
    head: u64,
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

impl Stream {
    /// Opens the target.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn open(target: &Target) -> Result<Stream> {
        let (out, path) = match target {
            Target::Stdout => {
                process::check_stdout().map_err(Error::Stdout)?;
                (Out::Stdout(BufWriter::new(io::stdout())), PathBuf::from("standard output"))
            }
            Target::Device(path) => {
                let file = open_device(path).map_err(Error::io(path, "open"))?;
                (Out::Device(BufWriter::new(file)), path.clone())
            }
            Target::File(path) => {
                let (file, name) = unnamed(path).map_err(Error::io(path, "create"))?;
                (Out::File(BufWriter::new(file), name), path.clone())
            }
        };
        Ok(Stream { out, path, hash: Box::default(), head: 0 })
    }

    /// Goes on with the partial results of a file after the first `bytes` of them, whose hash without their head is `hash`.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn go_on(partial: Partial, head: u64, bytes: u64, hash: Xxh3) -> Result<Stream> {
        let Partial { mut file, path, whole } = partial;
        let set = file.set_len(bytes).and_then(|()| file.seek(SeekFrom::End(0)));
        set.map_err(Error::io(&path, "open"))?;
        let out = Out::File(BufWriter::new(file), Name::Partial(path));
        Ok(Stream { out, path: whole, hash: Box::new(hash), head })
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

    /// What was written so far to a file is its head: it will be written again at the end, through [`Stream::seekable`].
    ///
    /// # Errors
    /// Those of writing.
    pub fn end_head(&mut self) -> io::Result<()> {
        self.flush()?;
        if let Out::File(file, _) = &mut self.out {
            self.head = file.get_mut().stream_position()?;
            self.hash.reset();
        }
        Ok(())
    }

    /// The file, if its head can be written again.
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

    /// Brings everything to the disk.
    pub fn sync(&mut self) -> io::Result<Written> {
        self.flush()?;
        let (head, hash) = (self.head, self.hash.digest128());
        match &mut self.out {
            Out::File(file, _) => {
                file.get_ref().sync_data()?;
                Ok(Written { head, bytes: file.get_mut().stream_position()?, hash })
            }
            _ => Ok(Written::default()),
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
            Out::Device(out) => out.write(bytes),
            Out::File(out, _) => {
                let count = out.write(bytes)?;
                self.hash.update(&bytes[..count]);
                Ok(count)
            }
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
    fn the_head_is_not_in_the_hash() {
        let dir = tempfile::tempdir().unwrap();
        let mut stream = Stream::open(&Target::new(Some(&dir.path().join("out"))).unwrap()).unwrap();
        stream.write_all(b"head").unwrap();
        stream.end_head().unwrap();
        stream.write_all(b"rows").unwrap();
        let hash = xxhash_rust::xxh3::xxh3_128(b"rows");
        assert_eq!(stream.sync().unwrap(), Written { head: 4, bytes: 8, hash });
    }

    #[test]
    fn partial_results_are_kept_and_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let mut stream = Stream::open(&Target::new(Some(&path)).unwrap()).unwrap();
        stream.write_all(b"one two").unwrap();
        stream.keep_partial().unwrap();
        assert_eq!(names(dir.path()), ["out.partial"]);
        let mut partial = Partial::open(&path).unwrap();
        let hash = partial.hash(0, 4).unwrap();
        let mut stream = Stream::go_on(partial, 0, 4, hash).unwrap();
        stream.write_all(b"three").unwrap();
        let written = stream.sync().unwrap();
        assert_eq!((written.bytes, written.hash), (9, xxhash_rust::xxh3::xxh3_128(b"one three")));
        assert!(matches!(Partial::open(&path), Err(Error::Busy { .. })));
        stream.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one three");
        assert_eq!(names(dir.path()), ["out"]);
    }
}
