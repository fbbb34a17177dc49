//! Weight files: from named tensors to [`EncoderWeights`].
//!
//! The weights of a folder are looked for in this order, and the first that is there is read:
//!
//! ```text
//! model.safetensors               one file, mapped into memory
//! model.safetensors.index.json    several, and which of them holds which tensor
//! pytorch_model.bin               what torch.save writes, read without running it
//! pytorch_model.bin.index.json    several of those
//! ```
//!
//! Opening checks everything that names, shapes and lengths can tell; only the tensors that are asked for are then read and
//! converted into f32, in parallel. Each weight is looked at once on the way, so NaN and infinite values are found for free.

mod convert;
mod error;
mod file;
mod header;
mod heads;
mod locate;
mod mapped;
mod names;
mod sharded;
mod torch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

pub use self::error::WeightError;
use self::file::{StoredTensor, WeightFile};
#[cfg(feature = "hub")]
pub(crate) use self::locate::weight_names;
pub(crate) use self::locate::{WeightPath, graph_config, is_graph, open_file};
use self::names::LayerNames;
#[cfg(feature = "hub")]
pub(crate) use self::sharded::names as shard_names;
use crate::config::EncoderConfig;
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::pooling::Modules;
use crate::weights::{EmbeddingWeights, EncoderWeights, LayerNormWeights, LayerWeights, Linear};

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
}

impl Checkpoint {
    /// Opens the checkpoint of a model directory, which `modules.json` may put into a folder of its own.
    ///
    /// # Errors
    /// Those of [`Checkpoint::in_folder`] and of reading `modules.json`.
    pub fn in_model(dir: &Path) -> Result<Self> {
        Self::in_folder(&Modules::read(dir)?.encoder)
    }

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
    /// ranges are contiguous and as long as shape and dtype need, that an index and its files agree tensor by tensor. From a
    /// pickle nothing is run.
    ///
    /// The files must not be changed while the value lives.
    ///
    /// # Errors
    /// [`Error::Io`], [`WeightError::NotWeights`]; safetensors: [`WeightError::CheckpointLength`], [`WeightError::CheckpointHeader`],
    /// [`WeightError::TensorOffsets`]; torch: [`WeightError::TorchFile`], [`WeightError::PickledObject`], [`WeightError::DuplicateTensor`];
    /// index: [`Error::Json`], [`WeightError::ShardIndex`], [`WeightError::ShardName`], [`WeightError::MissingShard`], [`WeightError::ShardTensor`],
    /// [`WeightError::UnindexedTensor`], [`WeightError::DuplicateTensor`].
    pub fn open(path: &Path) -> Result<Self> {
        let is_index = path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".index.json"));
        let (files, owners) = if is_index {
            sharded::open(path)?
        } else {
            let file = WeightFile::open(path)?;
            let owners = file.names().into_iter().map(|name| (name, 0)).collect();
            (vec![file], owners)
        };
        Ok(Self { path: path.to_owned(), files, owners })
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
        let info = |tensor: StoredTensor| TensorInfo {
            name: tensor.name.to_owned(),
            dtype: format!("{:?}", tensor.dtype),
            shape: tensor.shape.to_vec(),
            bytes: tensor.bytes,
        };
        stored.map(info).collect()
    }

    /// The values of one tensor of this shape, row-major; F32, F16 and BF16 become f32.
    ///
    /// # Errors
    /// [`WeightError::MissingTensor`], [`WeightError::TensorDtype`], [`WeightError::TensorShape`], [`WeightError::TensorData`],
    /// [`WeightError::NonFiniteWeights`].
    pub fn read_f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.tensor(name).ok_or_else(|| self.missing(&[name.to_owned()]))?.read_f32(shape)
    }

    fn tensor(&self, name: &str) -> Option<StoredTensor<'_>> {
        let (name, &file) = self.owners.get_key_value(name)?;
        self.files.get(file)?.tensor(name)
    }

    /// The error for a tensor that has none of these names.
    fn missing(&self, names: &[String]) -> Error {
        let (first, others) = names.split_first().map_or_else(Default::default, |(f, o)| (f.clone(), o.join(", ")));
        let alternatives = if others.is_empty() { "no other name".into() } else { others };
        let path = self.path.clone();
        Error::Weights(WeightError::MissingTensor { path, tensor: first, alternatives, tensors: self.owners.len() })
    }

    /// Reads all weights of an encoder, under the names of its architecture, with or without a prefix such as `bert.` or `model.`.
    ///
    /// F32, F16 and BF16 tensors become f32. The pooler is read if it is there. Tensors that the encoder does not need (position
    /// ids, heads) are ignored.
    ///
    /// # Errors
    /// [`WeightError::MissingTensor`], [`WeightError::TensorDtype`], [`WeightError::TensorShape`], [`WeightError::TensorData`],
    /// [`WeightError::NonFiniteWeights`].
    pub fn encoder_weights(&self, config: &EncoderConfig) -> Result<EncoderWeights> {
        let reader = Reader { checkpoint: self };
        let embeddings = reader.embeddings(config)?;
        let layers = (0..config.layers)
            .into_par_iter()
            .map(|i| reader.layer(&names::layer(config.architecture, i), config.hidden_size, config.intermediate_size))
            .collect::<Result<Vec<_>>>()?;
        Ok(EncoderWeights { embeddings: embeddings.into(), layers, pooler: reader.pooler(config)? })
    }
}

/// Looks tensors up by name and converts them.
struct Reader<'a> {
    checkpoint: &'a Checkpoint,
}

impl Reader<'_> {
    fn embeddings(&self, config: &EncoderConfig) -> Result<EmbeddingWeights> {
        let features = config.embedding_features();
        // The first rows of RoBERTa's table belong to padding, and to nothing.
        let rows = config.max_position + config.position_offset;
        let mut position = self.matrix(names::POSITION, rows, features)?;
        position.data.drain(..config.position_offset * features);
        position.rows = config.max_position;
        Ok(EmbeddingWeights {
            word: self.matrix(names::WORD, config.vocab_size, features)?,
            position,
            token_type: match config.architecture.has_token_types() {
                true => self.matrix(names::TOKEN_TYPE, config.type_vocab_size, features)?,
                false => Matrix::zeros(config.type_vocab_size, features),
            },
            norm: self.norm(names::EMBEDDING_NORM, features)?,
            projection: match config.projects_embeddings() {
                true => Some(self.linear(names::PROJECTION, config.hidden_size, features)?),
                false => None,
            },
        })
    }

    fn layer(&self, names: &LayerNames, hidden: usize, intermediate: usize) -> Result<LayerWeights> {
        Ok(LayerWeights {
            q: self.linear(&names.q, hidden, hidden)?,
            k: self.linear(&names.k, hidden, hidden)?,
            v: self.linear(&names.v, hidden, hidden)?,
            o: self.linear(&names.o, hidden, hidden)?,
            attention_norm: self.norm(&names.attention_norm, hidden)?,
            up: self.linear(&names.up, intermediate, hidden)?,
            down: self.linear(&names.down, hidden, intermediate)?,
            output_norm: self.norm(&names.output_norm, hidden)?,
        })
    }

    /// Many checkpoints have none; half of one is damage.
    fn pooler(&self, config: &EncoderConfig) -> Result<Option<Linear>> {
        let parts = ["weight", "bias"].map(|part| format!("{}.{part}", names::POOLER));
        let present = parts.iter().any(|name| self.find(&[name]).is_ok());
        match config.architecture.has_pooler() && present {
            true => Ok(Some(self.linear(names::POOLER, config.hidden_size, config.hidden_size)?)),
            false => Ok(None),
        }
    }

    fn linear(&self, name: &str, outputs: usize, inputs: usize) -> Result<Linear> {
        Ok(Linear {
            weight: self.matrix(&format!("{name}.weight"), outputs, inputs)?,
            bias: self.vector(&[&format!("{name}.bias")], outputs)?,
        })
    }

    fn norm(&self, name: &str, features: usize) -> Result<LayerNormWeights> {
        let vector = |names: [String; 2]| self.vector(&names.each_ref().map(String::as_str), features);
        Ok(LayerNormWeights { gamma: vector(names::gamma(name))?, beta: vector(names::beta(name))? })
    }

    fn matrix(&self, name: &str, rows: usize, cols: usize) -> Result<Matrix> {
        let data = self.values(&[name], &[rows, cols])?;
        Ok(Matrix { rows, cols, data })
    }

    fn vector(&self, names: &[&str], length: usize) -> Result<Vec<f32>> {
        self.values(names, &[length])
    }

    fn values(&self, names: &[&str], shape: &[usize]) -> Result<Vec<f32>> {
        self.find(names)?.read_f32(shape)
    }

    /// The first of `names` that is there, as it stands or with a prefix.
    fn find(&self, names: &[&str]) -> Result<StoredTensor<'_>> {
        let candidates = names::candidates(names);
        let found = candidates.iter().find_map(|name| self.checkpoint.tensor(name));
        found.ok_or_else(|| self.checkpoint.missing(&candidates))
    }
}
