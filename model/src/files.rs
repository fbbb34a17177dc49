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

/// Writes a temporary file next to `path`, syncs it to disk, and renames it to `path`. An older file is replaced by the complete new one.
///
/// # Errors
/// Those of the operating system; then nothing is left, and an older file is as it was.
pub fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), WriteError> {
    let mut builder = builder();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666)); // less the umask, as for any new file
    }
    let mut file = builder.tempfile_in(folder_of(path)).map_err(failed("create"))?;
    write(file.as_file_mut()).and_then(|()| file.as_file().sync_all()).map_err(failed("write"))?;
    file.persist(path).map_err(|error| failed("create")(error.error))?;
    Ok(())
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
