//! Files of tensors that are written and read one tensor after the other, so that no second copy of a training is in memory.
//!
//! The format is safetensors: the length of the header in 8 bytes, the header in JSON, the tensors.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::{Error, Result};

/// Bytes of the length of the header.
const LENGTH: usize = 8;
/// A longer header is refused.
const MAX_HEADER: u64 = 100 << 20;

/// A tensor to be written.
pub(super) struct Part<'a> {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) bytes: Cow<'a, [u8]>,
}

impl<'a> Part<'a> {
    /// A vector of f32.
    pub(super) fn f32(name: String, values: &'a [f32]) -> Part<'a> {
        let bytes = Cow::Borrowed(bytemuck::cast_slice(values));
        Part { name, dtype: Dtype::F32, shape: vec![values.len()], bytes }
    }

    /// Bytes.
    pub(super) fn u8(name: String, shape: Vec<usize>, bytes: Vec<u8>) -> Part<'a> {
        Part { name, dtype: Dtype::U8, shape, bytes: Cow::Owned(bytes) }
    }
}

/// Writes a file with an entry `key` of metadata: beside its place first, so that it appears only when it is complete.
pub(super) fn write(path: &Path, key: &str, text: String, parts: &[Part<'_>]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let beside = path.with_file_name(name);
    let fail = |action| move |source| Error::Io { path: path.to_owned(), action, source };
    let header = header(key, text, parts).map_err(|reason| Error::Checkpoint { path: path.to_owned(), reason })?;
    let file = File::create(&beside).map_err(fail("create"))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let written = || -> std::io::Result<()> {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        parts.iter().try_for_each(|part| out.write_all(&part.bytes))?;
        out.flush()?;
        out.get_ref().sync_all()
    }();
    let renamed = written.map_err(fail("write")).and_then(|()| std::fs::rename(&beside, path).map_err(fail("replace")));
    if renamed.is_err() {
        // The error says what is wrong; half a file would only take room.
        let _ = std::fs::remove_file(&beside);
    }
    renamed
}

fn header(key: &str, text: String, parts: &[Part<'_>]) -> Result<Vec<u8>, String> {
    let mut end = 0;
    let tensors = parts.iter().map(|part| {
        let begin = end;
        end += part.bytes.len();
        (part.name.clone(), TensorInfo { dtype: part.dtype, shape: part.shape.clone(), data_offsets: (begin, end) })
    });
    let metadata = Metadata::new(Some(HashMap::from([(key.to_owned(), text)])), tensors.collect());
    let mut header = serde_json::to_vec(&metadata.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    header.resize(header.len().next_multiple_of(LENGTH), b' ');
    Ok(header)
}

/// A file that is read.
pub(super) struct TensorFile {
    path: PathBuf,
    file: BufReader<File>,
    header: Metadata,
    /// Where the tensors begin.
    begin: u64,
}

impl TensorFile {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Checkpoint`] for a file of another format, and one that is cut short.
    pub(super) fn open(path: &Path) -> Result<TensorFile> {
        let fail = |source| Error::Io { path: path.to_owned(), action: "read", source };
        let bad = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
        let file = File::open(path).map_err(fail)?;
        let bytes = file.metadata().map_err(fail)?.len();
        let mut file = BufReader::new(file);
        let mut length = [0; LENGTH];
        if bytes < LENGTH as u64 {
            return Err(bad(format!("it has {bytes} bytes, and no header")));
        }
        file.read_exact(&mut length).map_err(fail)?;
        let count = u64::from_le_bytes(length);
        if count > MAX_HEADER.min(bytes - LENGTH as u64) {
            return Err(bad(format!("its header has {count} bytes, more than the file")));
        }
        let mut header = vec![0; count as usize];
        file.read_exact(&mut header).map_err(fail)?;
        let header: Metadata = serde_json::from_slice(&header).map_err(|error| bad(error.to_string()))?;
        let begin = LENGTH as u64 + count;
        let (found, expected) = (bytes - begin, header.data_len() as u64);
        if found != expected {
            return Err(bad(format!("it has {found} bytes of tensors; expected {expected}")));
        }
        Ok(TensorFile { path: path.to_owned(), file, header, begin })
    }

    /// An entry of the metadata.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// Whether there is such a tensor.
    pub(super) fn has(&self, name: &str) -> bool {
        self.header.info(name).is_some()
    }

    /// Whether the name of a tensor begins so.
    pub(super) fn has_prefix(&self, prefix: &str) -> bool {
        self.header.tensors().keys().any(|name| name.starts_with(prefix))
    }

    /// Reads a vector of f32 of the same length.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Checkpoint`] if there is no such tensor, or one of another type or size.
    pub(super) fn fill(&mut self, name: &str, to: &mut [f32]) -> Result<()> {
        let count = self.seek(name, Dtype::F32)?;
        if count != size_of_val(to) {
            return Err(self.bad(format!("{name} has {} elements; expected {}", count / size_of::<f32>(), to.len())));
        }
        self.read(bytemuck::cast_slice_mut(to))?;
        to.iter_mut().for_each(|x| *x = f32::from_bits(u32::from_le(x.to_bits())));
        Ok(())
    }

    /// Reads a vector of f32.
    ///
    /// # Errors
    /// Those of [`TensorFile::fill`].
    pub(super) fn floats(&mut self, name: &str) -> Result<Vec<f32>> {
        let mut values = vec![0.0; self.seek(name, Dtype::F32)? / size_of::<f32>()];
        self.fill(name, &mut values)?;
        Ok(values)
    }

    /// Reads bytes.
    ///
    /// # Errors
    /// Those of [`TensorFile::fill`].
    pub(super) fn bytes(&mut self, name: &str) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.seek(name, Dtype::U8)?];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    /// An error about this file.
    pub(super) fn bad(&self, reason: String) -> Error {
        Error::Checkpoint { path: self.path.clone(), reason }
    }

    /// Goes to a tensor. Returns its bytes.
    fn seek(&mut self, name: &str, dtype: Dtype) -> Result<usize> {
        let info = self.header.info(name).ok_or_else(|| self.bad(format!("it has no tensor {name}")))?;
        if info.dtype != dtype {
            return Err(self.bad(format!("{name} has the type {}; expected {dtype}", info.dtype)));
        }
        let (begin, end) = info.data_offsets;
        let place = SeekFrom::Start(self.begin + begin as u64);
        let found = self.file.seek(place);
        found.map_err(|source| Error::Io { path: self.path.clone(), action: "read", source })?;
        Ok(end - begin)
    }

    fn read(&mut self, to: &mut [u8]) -> Result<()> {
        let found = self.file.read_exact(to);
        found.map_err(|source| Error::Io { path: self.path.clone(), action: "read", source })
    }
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::SafeTensors;

    use super::*;

    fn written(path: &Path) {
        let parts = [Part::f32("a".into(), &[1.0, -2.5, 3.0]), Part::u8("b".into(), vec![2], vec![7, 9])];
        write(path, "key", "text".into(), &parts).unwrap();
    }

    #[test]
    fn tensors_are_read_as_they_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        written(&path);
        // Other programs read it, too.
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(SafeTensors::deserialize(&bytes).unwrap().tensor("b").unwrap().data(), [7, 9]);
        let mut file = TensorFile::open(&path).unwrap();
        assert_eq!((file.text("key"), file.text("other")), (Some("text"), None));
        assert!(file.has("a") && !file.has("c") && file.has_prefix("b") && !file.has_prefix("c"));
        assert_eq!((file.bytes("b").unwrap(), file.floats("a").unwrap()), (vec![7, 9], vec![1.0, -2.5, 3.0]));
        let refused = |error: Error| error.to_string();
        assert!(refused(file.fill("a", &mut [0.0; 2]).unwrap_err()).contains("a has 3 elements; expected 2"));
        assert!(refused(file.floats("b").unwrap_err()).contains("b has the type U8; expected F32"));
        assert!(refused(file.bytes("c").unwrap_err()).contains("no tensor c"));
    }

    #[test]
    fn files_that_are_cut_short_or_longer_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        written(&path);
        let bytes = std::fs::read(&path).unwrap();
        for end in 0..bytes.len() {
            std::fs::write(&path, &bytes[..end]).unwrap();
            assert!(matches!(TensorFile::open(&path), Err(Error::Checkpoint { .. })), "{end} bytes");
        }
        std::fs::write(&path, [&bytes[..], b"x"].concat()).unwrap();
        assert!(TensorFile::open(&path).is_err());
        std::fs::write(&path, [&u64::MAX.to_le_bytes()[..], &bytes[8..]].concat()).unwrap();
        assert!(TensorFile::open(&path).is_err());
    }
}
