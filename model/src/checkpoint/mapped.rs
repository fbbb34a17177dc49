//! A safetensors file, mapped into memory and checked against its own header.

use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::Metadata;

use super::header;
use super::locate::open_file;
use super::tensor::FileTensor;
use crate::error::{Error, Result};

/// A mapped file whose header agrees with its length.
pub(super) struct MappedFile {
    path: PathBuf,
    map: Mmap,
    header: Metadata,
    /// Index of the first byte after the header.
    data_start: usize,
}

impl MappedFile {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let (file, length) = open_file(path)?;
        header::check_length(path, length)?;
        // SAFETY: the mapping is read-only and private to this value. Its obligation is that nobody
        // truncates or rewrites the file meanwhile; that is documented at `Checkpoint::open`, and the
        // time it matters is the copy of the weights, which happens once, right after opening.
        let map = unsafe { Mmap::map(&file) }.map_err(|source| Error::Io {
            path: path.to_owned(),
            action: "map into memory",
            source,
        })?;
        let (header, data_start) = header::parse(path, &map)?;
        Ok(Self { path: path.to_owned(), map, header, data_start })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    pub(super) fn tensor<'a>(&'a self, name: &'a str) -> Option<FileTensor<'a>> {
        let info = self.header.info(name)?;
        let (start, end) = info.data_offsets;
        let data = self.map.get(self.data_start.checked_add(start)?..self.data_start.checked_add(end)?)?;
        Some(FileTensor::mapped(&self.path, name, info.dtype, &info.shape, data))
    }
}
