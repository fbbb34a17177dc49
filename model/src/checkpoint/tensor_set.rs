//! Named tensors in one file or several.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::file::WeightFile;
use super::sharded::Shards;
use super::tensor::FileTensor;
use super::{locate, sharded};
use crate::error::{Error, Result, WeightError};

/// What a checkpoint's header says about one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorInfo {
    /// Its name in the file.
    pub name: String,
    /// Element type in safetensors' notation: F32, F16, BF16, I64, ...
    pub dtype: String,
    /// Shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// Length in bytes.
    pub bytes: usize,
}

/// The tensors of one weight file, or of a set of them with an index.
pub struct Checkpoint {
    path: PathBuf,
    files: Vec<WeightFile>,
    /// Which of `files` holds a tensor.
    owners: BTreeMap<String, usize>,
    notes: Vec<String>,
}

impl Checkpoint {
    /// Opens the first of these that a folder has: `model.safetensors`, `model.safetensors.index.json`, `pytorch_model.bin`,
    /// `pytorch_model.bin.index.json`.
    ///
    /// # Errors
    /// [`WeightError::NoCheckpoint`], and those of [`Checkpoint::open`].
    pub fn in_folder(folder: &Path) -> Result<Self> {
        Self::open(&locate::locate(folder)?)
    }

    /// Opens a weight file, or the set of files that an index lists; the name's ending tells which: `.safetensors`;
    /// `.bin`, `.pt` or `.pth` for what `torch.save` writes; `.index.json`.
    ///
    /// Checks all that can be known without reading the tensors: that headers agree with the length of their files, that byte
    /// ranges are contiguous and as long as shape and dtype need, that the files of an index hold the tensors that it says. Tensors
    /// that it does not list can be read too; [`Checkpoint::notes`] names them. From a pickle nothing is run.
    ///
    /// The files must not be changed while the value lives.
    ///
    /// # Errors
    /// [`Error::Io`], [`WeightError::NotWeights`]; safetensors: [`WeightError::CheckpointLength`], [`WeightError::CheckpointHeader`],
    /// [`WeightError::TensorOffsets`]; torch: [`WeightError::TorchFile`], [`WeightError::PickledObject`], [`WeightError::DuplicateTensor`];
    /// index: [`Error::Json`], [`WeightError::ShardIndex`], [`WeightError::ShardName`], [`WeightError::MissingShard`], [`WeightError::ShardTensor`],
    /// [`WeightError::DuplicateTensor`].
    pub fn open(path: &Path) -> Result<Self> {
        let is_index = path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".index.json"));
        let (files, owners, notes) = if is_index {
            let Shards { files, owners, notes } = sharded::open(path)?;
            (files, owners, notes)
        } else {
            let file = WeightFile::open(path)?;
            let owners = file.names().into_iter().map(|name| (name, 0)).collect();
            (vec![file], owners, Vec::new())
        };
        Ok(Self { path: path.to_owned(), files, owners, notes })
    }

    /// What was opened: a weight file or an index.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that hold the tensors, in the order of their names.
    pub fn files(&self) -> Vec<&Path> {
        self.files.iter().map(WeightFile::path).collect()
    }

    /// Every tensor, in the order of their names.
    pub fn tensors(&self) -> Vec<TensorInfo> {
        let stored = self.owners.keys().filter_map(|name| self.tensor(name));
        let info = |tensor: FileTensor| TensorInfo {
            name: tensor.name.to_owned(),
            dtype: format!("{:?}", tensor.dtype),
            shape: tensor.shape.to_vec(),
            bytes: tensor.bytes,
        };
        stored.map(info).collect()
    }

    /// The values of one tensor of this shape, row-major; F32, F16, BF16 and F64 become f32.
    ///
    /// # Errors
    /// [`WeightError::MissingTensor`], [`WeightError::TensorDtype`], [`WeightError::TensorShape`], [`WeightError::TensorData`],
    /// [`WeightError::NonFiniteWeights`].
    pub fn read_f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.tensor(name).ok_or_else(|| self.missing(&[name.to_owned()]))?.read_f32(shape)
    }

    /// What the files have that is no error: tensors that an index does not list, a size that it does not give right.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The names of all tensors, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.owners.keys().map(String::as_str)
    }

    pub(super) fn holds(&self, name: &str) -> bool {
        self.owners.contains_key(name)
    }

    pub(super) fn tensor(&self, name: &str) -> Option<FileTensor<'_>> {
        let (name, &file) = self.owners.get_key_value(name)?;
        self.files.get(file)?.tensor(name)
    }

    /// The error for a tensor that has none of these names.
    pub(super) fn missing(&self, names: &[String]) -> Error {
        let first = names.first().cloned().unwrap_or_default();
        let mut others: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name != first).collect();
        others.dedup();
        let alternatives = if others.is_empty() { "no other name".into() } else { others.join(", ") };
        let path = self.path.clone();
        Error::Weights(WeightError::MissingTensor { path, tensor: first, alternatives, tensors: self.owners.len() })
    }
}
