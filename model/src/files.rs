//! Writing files and folders that appear only when they are complete.

use std::fs::File;
use std::io;
use std::path::Path;

/// Why a file could not be written.
#[derive(Debug)]
pub struct WriteError {
    /// What was tried: "create" or "write".
    pub action: &'static str,
    /// The operating system's answer.
    pub source: io::Error,
}

fn failed(action: &'static str) -> impl Fn(io::Error) -> WriteError {
    move |source| WriteError { action, source }
}

/// Writes a temporary file next to `path`, syncs it to disk, and moves it to `path`. An older file is replaced by the complete new one; a
/// link is replaced, not followed. Where the system has files without a name, the temporary file is one: nothing is left of it even
/// if the process is killed.
///
/// # Errors
/// Those of the operating system; then nothing is left, and an older file is as it was.
pub fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), WriteError> {
    if let Some(mut file) = unnamed::create(folder_of(path)) {
        write(&mut file).and_then(|()| file.sync_all()).map_err(failed("write"))?;
        return unnamed::publish(&mut file, path).map_err(failed("create"));
    }
    let mut file = named(path).map_err(failed("create"))?;
    write(file.as_file_mut()).and_then(|()| file.as_file().sync_all()).map_err(failed("write"))?;
    file.persist(path).map_err(|error| failed("create")(error.error))?;
    Ok(())
}

/// A temporary file next to `path` with a name that no other file has.
fn named(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = builder();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666)); // less the umask, as for any new file
    }
    builder.tempfile_in(folder_of(path))
}

/// Fills a folder next to `path` and renames it to `path`. An empty folder there is replaced; anything else is an error.
///
/// # Errors
/// Those of `fill`, and `create` of what the operating system answers; then nothing is left.
pub fn create_folder<E>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
    error: impl Fn(WriteError) -> E,
) -> Result<(), E> {
    let mut builder = builder();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o777)); // less the umask, as for any new folder
    }
    let create = |source| error(failed("create")(source));
    let folder = builder.tempdir_in(folder_of(path)).map_err(create)?;
    fill(folder.path())?;
    sync(folder.path()).map_err(|source| error(failed("write")(source)))?;
    match std::fs::remove_dir(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(create(source)),
        _ => {}
    }
    std::fs::rename(folder.path(), path).map_err(create)?;
    let _ = folder.keep(); // it has moved
    Ok(())
}

/// Brings all files of a folder to the disk.
fn sync(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync(&entry.path())?,
            false => File::open(entry.path())?.sync_all()?,
        }
    }
    Ok(())
}

fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".lacuna-");
    builder
}

/// The folder that a path is in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

/// Files that have no name until they are complete.
#[cfg(target_os = "linux")]
mod unnamed {
    use std::fs::{File, OpenOptions};
    use std::io::{self, Seek};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, OFlags, linkat};

    /// A file in `folder`; nothing if the file system has none without a name, or anything else is wrong, which is reported when
    /// one with a name is made.
    pub(super) fn create(folder: &Path) -> Option<File> {
        let flags = OFlags::TMPFILE.bits() as i32;
        OpenOptions::new().read(true).write(true).mode(0o666).custom_flags(flags).open(folder).ok()
    }

    /// Gives a file its name, which another file may have.
    pub(super) fn publish(file: &mut File, path: &Path) -> io::Result<()> {
        let source = format!("/proc/self/fd/{}", file.as_raw_fd());
        let link = |to: &Path| linkat(CWD, &source, CWD, to, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from);
        match link(path) {
            Ok(()) => Ok(()),
            // A link cannot replace, a rename can.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let named = super::builder().make_in(super::folder_of(path), link)?;
                named.persist(path).map(drop).map_err(|error| error.error)
            }
            // Without /proc.
            Err(_) => {
                let mut named = super::named(path)?;
                file.rewind()?;
                io::copy(file, named.as_file_mut())?;
                named.as_file().sync_all()?;
                named.persist(path).map(drop).map_err(|error| error.error)
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod unnamed {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    pub(super) fn create(_: &Path) -> Option<File> {
        None
    }

    pub(super) fn publish(_: &mut File, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn files_are_new_or_replaced_and_nothing_else_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for text in ["new", "replaced"] {
            replace(&path, |file| file.write_all(text.as_bytes())).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            assert_eq!(names(folder.path()), ["file"]);
        }
        let error = replace(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("stop"))
        });
        assert_eq!(error.unwrap_err().action, "write");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "replaced");
        assert_eq!(names(folder.path()), ["file"]);
        let missing = replace(&folder.path().join("no/where"), |_| Ok(()));
        assert_eq!(missing.unwrap_err().action, "create");
    }

    /// What a process leaves that is killed now.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_is_written_has_no_name() {
        let folder = tempfile::tempdir().unwrap();
        replace(&folder.path().join("file"), |file| {
            file.write_all(b"half")?;
            if unnamed::create(folder.path()).is_some() {
                assert!(names(folder.path()).is_empty(), "{:?}", names(folder.path()));
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_replaced_and_permissions_are_those_of_new_files() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        std::fs::write(&target, "mine").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        replace(&link, |file| file.write_all(b"new")).unwrap();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "mine");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_file());
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&link), mode(&target));
    }
}
