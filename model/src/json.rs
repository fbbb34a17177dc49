//! JSON files.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Reads one JSON file into a type.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), action: "read", source })?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: PathBuf::from(path), source })
}

/// Like [`read_json`]; a file that does not exist is `None`.
pub(crate) fn read_json_if_present<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match read_json(path) {
        Ok(value) => Ok(Some(value)),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
