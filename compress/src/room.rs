//! Room on a disk, looked at before an hour is spent.

use std::path::Path;

use crate::error::{Error, Result};

/// Refuses work whose files, of about `needed` bytes, do not fit on the disk of `path`, which need not exist yet. Where the system does not say how
/// much is free, nothing is refused.
///
/// # Errors
/// [`Error::Room`].
pub(crate) fn check_room(path: &Path, needed: u64) -> Result<()> {
    match free(path) {
        Some(free) if free < needed => Err(Error::Room { path: path.to_owned(), free, needed }),
        _ => Ok(()),
    }
}

/// Free bytes of the disk that `path` is or would be on.
#[cfg(unix)]
fn free(path: &Path) -> Option<u64> {
    // A name without folder has the empty path above it.
    let folders = path.ancestors().map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    let found = folders.filter_map(|folder| rustix::fs::statvfs(folder).ok()).next()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
fn free(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_room_is_refused_with_both_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("not/yet/there");
        check_room(&path, 1).unwrap();
        check_room(Path::new("relative"), 1).unwrap();
        if cfg!(unix) {
            let error = check_room(&path, u64::MAX).unwrap_err();
            assert!(matches!(error, Error::Room { needed: u64::MAX, free: 1.., .. }), "{error}");
            assert!(error.to_string().contains("there: found ") && error.to_string().contains("expected at least"));
        }
    }
}
