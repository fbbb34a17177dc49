//! The weights of an encoder by their names.

use rayon::prelude::*;

use super::names::{self, LayerNames};
use super::prefix;
use super::tensor::FileTensor;
use super::tensor_set::Checkpoint;
use crate::config::EncoderConfig;
use crate::error::Result;
use crate::matrix::Matrix;
use crate::weights::{EmbeddingWeights, EncoderWeights, LayerNorm, LayerWeights, Linear};

impl Checkpoint {
    /// Reads all weights of an encoder, under the names of its architecture behind whatever prefix they have, such as `bert.` or
    /// `module.`.
    ///
    /// F32, F16, BF16 and F64 tensors become f32. The pooler is read if it is there. Tensors that the encoder does not need (position
    /// ids, heads) are ignored.
    ///
    /// # Errors
    /// [`WeightError`](crate::error::WeightError) for a file with several encoders, for a tensor that is missing, that has another type, shape or length, or that has values
    /// that are not finite.
    pub(crate) fn encoder_weights(&self, config: &EncoderConfig) -> Result<EncoderWeights> {
        let reader = Reader::of_encoder(self, config)?;
        let embeddings = reader.embeddings(config)?;
        let layers = (0..config.layers)
            .into_par_iter()
            .map(|i| reader.layer(&names::layer(config.architecture, i), config))
            .collect::<Result<Vec<_>>>()?;
        Ok(EncoderWeights {
            embeddings: embeddings.into(),
            layers,
            pooler: Reader::of_head(self, config)?.pooler(config)?,
        })
    }
}

/// Looks tensors up by name and converts them.
pub(super) struct Reader<'a> {
    checkpoint: &'a Checkpoint,
    /// What names may begin with, in the order in which they are tried.
    prefixes: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Reads the tensors of the encoder of this configuration.
    fn of_encoder(checkpoint: &'a Checkpoint, config: &EncoderConfig) -> Result<Reader<'a>> {
        Ok(Reader { checkpoint, prefixes: vec![prefix::find(checkpoint, config)?] })
    }

    /// Reads the tensors of a module that has a file of its own.
    pub(super) fn of_module(checkpoint: &'a Checkpoint) -> Reader<'a> {
        Reader { checkpoint, prefixes: vec![String::new()] }
    }

    /// Reads the tensors of what follows the encoder: in the encoder, or in the nearest module around it that has them.
    pub(super) fn of_head(checkpoint: &'a Checkpoint, config: &EncoderConfig) -> Result<Reader<'a>> {
        let encoder = prefix::find(checkpoint, config)?;
        Ok(Reader { checkpoint, prefixes: prefix::around(&encoder).into_iter().map(str::to_owned).collect() })
    }

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

    fn layer(&self, names: &LayerNames, config: &EncoderConfig) -> Result<LayerWeights> {
        let (hidden, [q, k, v, o, up, down]) = (config.hidden_size, config.linear_shapes());
        let linear = |name: &str, (outputs, inputs)| self.linear(name, outputs, inputs);
        Ok(LayerWeights {
            q: linear(&names.q, q)?,
            k: linear(&names.k, k)?,
            v: linear(&names.v, v)?,
            o: linear(&names.o, o)?,
            attention_norm: self.norm(&names.attention_norm, hidden)?,
            up: linear(&names.up, up)?,
            down: linear(&names.down, down)?,
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

    pub(super) fn linear(&self, name: &str, outputs: usize, inputs: usize) -> Result<Linear> {
        Ok(Linear {
            weight: self.matrix(&format!("{name}.weight"), outputs, inputs)?,
            bias: self.vector(&[&format!("{name}.bias")], outputs)?,
        })
    }

    pub(super) fn norm(&self, name: &str, features: usize) -> Result<LayerNorm> {
        let vector = |names: [String; 2]| self.vector(&names.each_ref().map(String::as_str), features);
        Ok(LayerNorm { gamma: vector(names::gamma(name))?, beta: vector(names::beta(name))? })
    }

    pub(super) fn matrix(&self, name: &str, rows: usize, cols: usize) -> Result<Matrix> {
        let data = self.values(&[name], &[rows, cols])?;
        Ok(Matrix { rows, cols, data })
    }

    pub(super) fn vector(&self, names: &[&str], length: usize) -> Result<Vec<f32>> {
        self.values(names, &[length])
    }

    fn values(&self, names: &[&str], shape: &[usize]) -> Result<Vec<f32>> {
        self.find(names)?.read_f32(shape)
    }

    /// The first of `names` that exists behind one of the prefixes.
    pub(super) fn find(&self, names: &[&str]) -> Result<FileTensor<'_>> {
        let places = self.prefixes.iter().flat_map(|prefix| names.iter().map(move |name| format!("{prefix}{name}")));
        let mut places: Vec<String> = places.collect();
        let found = places.iter().find_map(|name| self.checkpoint.tensor(name));
        found.ok_or_else(|| {
            places
                .push(format!("bert.{} and the like: any prefix that all tensors have", names.first().unwrap_or(&"")));
            self.checkpoint.missing(&places)
        })
    }
}
