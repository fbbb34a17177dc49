//! `model.safetensors`: from a file of named tensors to [`EncoderWeights`].
//!
//! The file is mapped, checked completely against its own header, and copied into f32 in parallel;
//! each weight is looked at once on the way, so NaN and infinite values are found for free.

mod convert;
mod header;
mod heads;
mod names;

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use self::names::LayerNames;
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

/// A mapped safetensors file whose header agrees with its length.
pub struct Checkpoint {
    path: PathBuf,
    map: Mmap,
}

impl Checkpoint {
    /// Opens the checkpoint of a model directory, which `modules.json` may put into a folder of its own.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`] and of reading `modules.json`.
    pub fn in_model(dir: &Path) -> Result<Self> {
        Self::open(&Modules::read(dir)?.encoder.join("model.safetensors"))
    }

    /// Every tensor of the file, in the order of their names.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`], if the file changed since.
    pub fn tensors(&self) -> Result<Vec<TensorInfo>> {
        let tensors = header::parse(&self.path, &self.map)?;
        let mut infos: Vec<TensorInfo> = tensors
            .iter()
            .map(|(name, view)| TensorInfo {
                name: name.to_owned(),
                dtype: format!("{:?}", view.dtype()),
                shape: view.shape().to_vec(),
                bytes: view.data().len(),
            })
            .collect();
        infos.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(infos)
    }

    /// Opens and maps a safetensors file and validates its header: length, JSON, and that the
    /// tensors' byte ranges are in the file, contiguous, and as long as shape and dtype need.
    ///
    /// The file must not be changed while the value lives.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::CheckpointLength`], [`Error::CheckpointHeader`],
    /// [`Error::TensorOffsets`].
    pub fn open(path: &Path) -> Result<Self> {
        let io = |action| move |source| Error::Io { path: path.to_owned(), action, source };
        let file = File::open(path).map_err(io("open"))?;
        let length = file.metadata().map_err(io("read the size of"))?.len();
        if length < header::LENGTH_BYTES as u64 {
            return Err(Error::CheckpointLength {
                path: path.to_owned(),
                found: length,
                expected: format!("at least {} for the header length", header::LENGTH_BYTES),
            });
        }
        // SAFETY: the mapping is read-only and private to this value. Its obligation is that nobody
        // truncates or rewrites the file meanwhile; that is documented above, and the time it
        // matters is the copy of the weights, which happens once, right after opening.
        let map = unsafe { Mmap::map(&file) }.map_err(io("map into memory"))?;
        header::validate(path, &map)?;
        Ok(Self { path: path.to_owned(), map })
    }

    /// Reads all weights of an encoder, under the names of its architecture, with or without a prefix such as `bert.` or `model.`.
    ///
    /// F32, F16 and BF16 tensors become f32. The pooler is read if it is there. Tensors that the encoder does not need (position
    /// ids, heads) are ignored.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::TensorDtype`], [`Error::TensorShape`],
    /// [`Error::NonFiniteWeights`].
    pub fn encoder_weights(&self, config: &EncoderConfig) -> Result<EncoderWeights> {
        let tensors = header::parse(&self.path, &self.map)?;
        let reader = Reader { path: &self.path, tensors };
        let embeddings = reader.embeddings(config)?;
        let layers = (0..config.layers)
            .into_par_iter()
            .map(|i| reader.layer(&names::layer(config.architecture, i), config.hidden_size, config.intermediate_size))
            .collect::<Result<Vec<_>>>()?;
        Ok(EncoderWeights { embeddings, layers, pooler: reader.pooler(config)? })
    }
}

/// Looks tensors up by name and converts them.
struct Reader<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
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
        let (name, view) = self.find(names)?;
        let expected_dtype = matches!(view.dtype(), Dtype::F32 | Dtype::F16 | Dtype::BF16);
        if !expected_dtype {
            return Err(Error::TensorDtype {
                path: self.path.to_owned(),
                tensor: name,
                found: format!("{:?}", view.dtype()),
            });
        }
        if view.shape() != shape {
            return Err(Error::TensorShape {
                path: self.path.to_owned(),
                tensor: name,
                found: view.shape().to_vec(),
                expected: shape.to_vec(),
            });
        }
        let (values, non_finite) = convert::to_f32(view.dtype(), view.data());
        if non_finite > 0 {
            return Err(Error::NonFiniteWeights {
                path: self.path.to_owned(),
                tensor: name,
                count: non_finite,
                first_index: values.iter().position(|v| !v.is_finite()).unwrap_or(0),
            });
        }
        Ok(values)
    }

    /// The first of `names` that the file has, as it stands or with a prefix.
    fn find(&self, names: &[&str]) -> Result<(String, TensorView<'_>)> {
        let candidates = names::candidates(names);
        for name in &candidates {
            if let Ok(view) = self.tensors.tensor(name) {
                return Ok((name.clone(), view));
            }
        }
        Err(Error::MissingTensor {
            path: self.path.to_owned(),
            tensor: candidates[0].clone(),
            alternatives: candidates[1..].join(", "),
            tensors: self.tensors.len(),
        })
    }
}
