//! JSON files, and other small files that are read as a whole.

use std::path::Path;

use lacuna_files::{ReadError, SETTINGS_LIMIT};

use crate::error::{Error, Result};

/// Reads one JSON file into a type.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    read_json_within(path, SETTINGS_LIMIT)
}

/// Reads one JSON file of at most `limit` bytes into a type.
pub(crate) fn read_json_within<T: serde::de::DeserializeOwned>(path: &Path, limit: u64) -> Result<T> {
    let bytes = read_file(path, limit)?;
    serde_json::from_str(text_of(path, &bytes)?).map_err(|source| Error::Json { path: path.to_owned(), source })
}

/// Like [`read_json`]; a file that does not exist is `None`.
pub(crate) fn read_json_if_present<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if_present(read_json(path))
}

/// `None` in place of the error for a file that does not exist.
pub(crate) fn if_present<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The bytes of a regular file that has at most `limit`.
pub(crate) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>> {
    lacuna_files::read(path, limit).map_err(|error| unread(path, error))
}

/// The text of a file, without a byte order mark.
pub(crate) fn text_of<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str> {
    lacuna_files::utf8(bytes).map_err(|found| Error::FileKind {
        path: path.to_owned(),
        found: found.to_string(),
        expected: "text in UTF-8",
    })
}

/// The error for a file that was not read.
fn unread(path: &Path, error: ReadError) -> Error {
    let path = path.to_owned();
    match error {
        ReadError::Kind { found } => Error::FileKind { path, found: found.into(), expected: "a regular file" },
        ReadError::Size { found, limit } => Error::FileSize { path, found, limit },
        ReadError::Io { action, source } => Error::Io { path, action, source },
        other => Error::Io { path, action: "read", source: other.into() },
    }
}
