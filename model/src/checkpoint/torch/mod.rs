//! What `torch.save` writes: `pytorch_model.bin`.
//!
//! Such a file holds a pickle, which is a program that builds objects, and the bytes of the tensors: a zip archive, or before PyTorch 1.6 one
//! stream. The `pytorch-reader` crate knows both; it interprets the few calls that build tensors, runs nothing, gathers strided
//! and shared tensors, and checks every declared length against the file. It accepts objects that it does not know. So
//! this module scans the file first ([`scan`]) and refuses everything that weights do not need, also compressed entries. So the length of the
//! file limits the work and the memory that reading it needs.

mod opened;
mod scan;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use pytorch_reader::{DType, PickleError, PickleValue, PytorchError, PytorchReader, Tensor};
use safetensors::Dtype;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use self::opened::Opened;
use self::scan::{MAX_BYTES, Refusal, scan};
use super::locate::open_file;
use super::tensor::FileTensor;
use super::text::printable;
use crate::error::{Error, Result, WeightError};

/// How a zip archive begins, with an entry or without any.
const ARCHIVE_MAGIC: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];
/// The pickle in an archive.
const PICKLE: &str = "data.pkl";
/// The pickles at the start of a file without one: magic number, protocol, system, the stored object, keys of the storages.
const LEGACY_PICKLES: usize = 5;
/// What marks the tar archives of PyTorch before 0.1.10, and the index of its first byte.
const TAR_MAGIC: (&[u8], usize) = (b"ustar", 257);
/// What [`PickleValue::Unsupported`] calls a tensor, which is all that it may be here.
const TENSOR: &str = "torch.Tensor";

/// The tensors of one file; their bytes are read when asked for.
pub(super) struct TorchFile {
    path: PathBuf,
    tensors: HashMap<String, Tensor>,
}

impl TorchFile {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let (file, _) = open_file(path)?;
        check_pickles(path, &file)?;
        let opened = Opened::new(path, &file)?;
        let reader = PytorchReader::new(&opened.path).map_err(|error| refused(path, error))?;
        let stored = PytorchReader::read_pickle_data(&opened.path, None).map_err(|error| refused(path, error))?;
        opened.check_unchanged()?;
        Contents { path, seen: HashSet::new() }.check(&mut Vec::new(), &stored)?;
        Ok(Self { path: path.to_owned(), tensors: reader.into_tensors() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    pub(super) fn tensor(&self, name: &str) -> Option<FileTensor<'_>> {
        let tensor = self.tensors.get(name)?;
        Some(FileTensor::torch(&self.path, dtype(tensor.dtype()), tensor))
    }
}

/// Looks at all pickles of a file, which may be an archive or not.
fn check_pickles(path: &Path, mut file: &File) -> Result<()> {
    let io = |source| Error::Io { path: path.to_owned(), action: "read", source };
    let other =
        |reason: String| Error::Weights(WeightError::TorchFile { path: path.to_owned(), reason: printable(&reason) });
    let refusal = |refusal| match refusal {
        Refusal::Global(found) => {
            Error::Weights(WeightError::PickledObject { path: path.to_owned(), found: printable(&found) })
        }
        Refusal::Other(reason) => other(reason),
    };
    let mut start = Vec::new();
    file.by_ref().take((TAR_MAGIC.1 + TAR_MAGIC.0.len()) as u64).read_to_end(&mut start).map_err(io)?;
    // In the order in which the reader decides, so that it finds what was looked at.
    if ARCHIVE_MAGIC.iter().any(|magic| start.starts_with(magic)) {
        let pickle = archived(file).map_err(|error| match error {
            ZipError::Io(source) if source.raw_os_error().is_some() => io(source),
            error => other(error.to_string()),
        })?;
        return scan(&pickle.map_err(other)?).map(drop).map_err(refusal);
    }
    if start.get(TAR_MAGIC.1..) == Some(TAR_MAGIC.0) {
        return Err(other("found a tar archive, as PyTorch before 0.1.10 wrote".into()));
    }
    file.take(MAX_BYTES as u64).read_to_end(&mut start).map_err(io)?;
    let mut rest = &start[..];
    for _ in 0..LEGACY_PICKLES {
        rest = rest.get(scan(rest).map_err(refusal)?..).unwrap_or_default();
    }
    Ok(())
}

/// The one pickle of an archive in which nothing is compressed; the inner error says what is wrong with it otherwise.
fn archived(file: &File) -> std::result::Result<std::result::Result<Vec<u8>, String>, ZipError> {
    let mut archive = ZipArchive::new(BufReader::new(file))?;
    let mut pickles = Vec::new();
    for i in 0..archive.len() {
        let entry = archive.by_index_raw(i)?;
        let name = entry.name()?.into_owned();
        if entry.compression() != CompressionMethod::Stored || entry.size() != entry.compressed_size() {
            return Ok(Err(format!("entry {name:?} is compressed, which torch.save never does")));
        }
        if name.rsplit('/').next() == Some(PICKLE) {
            pickles.push((i, entry.size()));
        }
    }
    let [(index, size)] = pickles[..] else {
        return Ok(Err(format!("found {} entries of the name {PICKLE}; expected one", pickles.len())));
    };
    if size > MAX_BYTES as u64 {
        return Ok(Err(format!("found {PICKLE} of {size} bytes; expected at most {MAX_BYTES}")));
    }
    let mut pickle = Vec::new();
    archive.by_index_raw(index)?.take(MAX_BYTES as u64).read_to_end(&mut pickle)?;
    Ok(Ok(pickle))
}

/// Walks the stored object; its depth is bounded by the reader.
struct Contents<'a> {
    path: &'a Path,
    seen: HashSet<String>,
}

impl Contents<'_> {
    /// `at` is the way from the root to `value`; a tensor's name is that way, joined by dots.
    fn check(&mut self, at: &mut Vec<String>, value: &PickleValue) -> Result<()> {
        match value {
            PickleValue::Dict(entries) => entries.iter().try_for_each(|(key, value)| self.below(at, key, value)),
            PickleValue::List(items) => {
                items.iter().enumerate().try_for_each(|(i, value)| self.below(at, &i.to_string(), value))
            }
            PickleValue::Unsupported(class) if class == TENSOR => {
                let name = at.join(".");
                match self.seen.insert(name.clone()) {
                    true => Ok(()),
                    false => Err(Error::Weights(WeightError::DuplicateTensor {
                        path: self.path.to_owned(),
                        tensor: printable(&name),
                        places: "two ways through the stored object that are the same, joined by dots".into(),
                    })),
                }
            }
            PickleValue::Unsupported(class) => {
                Err(Error::Weights(WeightError::PickledObject { path: self.path.to_owned(), found: printable(class) }))
            }
            _ => Ok(()),
        }
    }

    fn below(&mut self, at: &mut Vec<String>, key: &str, value: &PickleValue) -> Result<()> {
        at.push(key.to_owned());
        let checked = self.check(at, value);
        at.pop();
        checked
    }
}

/// The reader's error with the file's name; those of the operating system stay what they are.
fn refused(path: &Path, error: PytorchError) -> Error {
    match error {
        PytorchError::Io(source) | PytorchError::Pickle(PickleError::Io(source)) if source.raw_os_error().is_some() => {
            Error::Io { path: path.to_owned(), action: "read", source }
        }
        error => Error::Weights(WeightError::TorchFile { path: path.to_owned(), reason: printable(&error) }),
    }
}

fn dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U64 => Dtype::U64,
        DType::U32 => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}
