//! Models that are not read from files.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::model::{Model, Timings};
use crate::architecture::Architecture;
use crate::checkpoint::named_tensors;
use crate::config::EncoderConfig;
use crate::error::{Error, Result, WeightError};
use crate::heads::{Head, HeadWeights};
use crate::pooling::Pooling;
use crate::seeded::seeded_weights;
use crate::settings::Prompts;
use crate::tokenize::SentenceTokenizer;
use crate::weights::EncoderWeights;

/// The text in place of a path in messages about parts.
const PARTS: &str = "model of parts";

impl Model {
    /// A model of a shape (a [`Preset`](crate::Preset) or a configuration) with random weights, without a tokenizer. Equal seeds give
    /// equal weights on every machine.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a shape that no model can have.
    pub fn seeded(shape: impl Into<EncoderConfig>, seed: u64) -> Result<Self> {
        let config = shape.into();
        config.validate(Path::new("seeded model"))?;
        let _span = tracing::info_span!("read").entered();
        let start = Instant::now();
        let weights = seeded_weights(&config, seed);
        let timings = Timings { read: start.elapsed(), ..Timings::default() };
        Ok(Self { timings, ..Self::unread(config, weights, Pooling::default(), None) })
    }

    /// A model of parts that a program made, checked as files are.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a shape that no model can have, pooling that does not fit it, or a tokenizer whose sequences are longer
    /// than the model's;
    /// [`WeightError::TensorShape`] for a tensor of another shape than `config` asks for, [`WeightError::MissingTensor`] for one that is
    /// absent, [`WeightError::NonFiniteWeights`] for NaN and infinite values. Tensors are named as in checkpoints.
    pub fn from_parts(
        config: EncoderConfig,
        weights: EncoderWeights,
        pooling: Pooling,
        tokenizer: Option<SentenceTokenizer>,
    ) -> Result<Self> {
        let path = Path::new(PARTS);
        config.validate(path)?;
        check_weights(&config, &weights)?;
        pooling.check(config.hidden_size, path)?;
        check_length(&config, tokenizer.as_ref())?;
        Ok(Self::unread(config, weights, pooling, tokenizer))
    }

    /// The same model with other weights of the same shapes, as after pruning or training. Codes that came from a quantised file are
    /// not kept, since they are those of the old weights.
    ///
    /// # Errors
    /// As [`Model::from_parts`], for the weights.
    pub fn with_weights(self, weights: EncoderWeights) -> Result<Self> {
        check_weights(&self.config, &weights)?;
        Ok(Self { weights: Arc::new(weights), codes: None, pruning: None, ..self }.with_pooler_of_head())
    }

    /// The same model with another head than that of its files, or with a head where it has none. [`Model::head`] gives it from now on.
    /// The pooler of BERT is the first layer of its sequence classification.
    ///
    /// # Errors
    /// [`Error::HeadInput`] for a head that reads other features than the model gives.
    pub fn with_head(self, head: Head) -> Result<Self> {
        let (found, expected) = (head.weights().inputs(), self.config.hidden_size);
        if found != expected {
            return Err(Error::HeadInput { found: expected, rows: 1, expected: found });
        }
        Ok(Self { head: Some(Arc::new(head)), ..self }.with_pooler_of_head())
    }

    fn with_pooler_of_head(mut self) -> Self {
        if let (Architecture::Bert, Some(HeadWeights::First { dense, .. })) =
            (self.config.architecture, self.head.as_ref().map(|head| head.weights()))
        {
            Arc::make_mut(&mut self.weights).pooler = Some(dense.linear.clone());
        }
        self
    }

    /// The same model with some of its layers only: those with the numbers `kept`, in this order.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] without any layer, and for a layer that the model does not have.
    pub fn with_layers(self, kept: &[usize]) -> Result<Self> {
        let layers: Option<Vec<_>> = kept.iter().map(|&layer| self.weights.layers.get(layer).cloned()).collect();
        let Some(layers) = layers.filter(|layers| !layers.is_empty()) else {
            return Err(Error::InvalidSetting {
                path: PARTS.into(),
                setting: "layers",
                found: format!("{kept:?}"),
                expected: format!("numbers from 0 to {}", self.config.layers.saturating_sub(1)),
            });
        };
        let config = EncoderConfig { layers: layers.len(), ..self.config };
        let EncoderWeights { embeddings, pooler, .. } = &*self.weights;
        let weights = Arc::new(EncoderWeights { embeddings: embeddings.clone(), layers, pooler: pooler.clone() });
        Ok(Self { config, weights, codes: None, pruning: None, ..self })
    }

    /// The same model with another encoder, as after heads and neurons were removed. Pooling, tokenizer and settings stay. Codes that came
    /// from a quantised file are not kept.
    ///
    /// # Errors
    /// As [`Model::from_parts`].
    pub fn with_encoder(self, config: EncoderConfig, weights: EncoderWeights) -> Result<Self> {
        let path = Path::new(PARTS);
        config.validate(path)?;
        check_weights(&config, &weights)?;
        self.pooling.check(config.hidden_size, path)?;
        check_length(&config, self.tokenizer.as_ref())?;
        Ok(Self { config, weights: Arc::new(weights), codes: None, pruning: None, ..self })
    }

    /// A model that no file is known of.
    pub(super) fn unread(
        config: EncoderConfig,
        weights: EncoderWeights,
        pooling: Pooling,
        tokenizer: Option<SentenceTokenizer>,
    ) -> Self {
        let (head, files, codes, notes, remarks) = (None, None, None, vec![], vec![]);
        let (prompts, similarity, score_function) = (Prompts::default(), None, None);
        let (pruning, timings) = (None, Timings::default());
        Self {
            config,
            weights: Arc::new(weights),
            pooling,
            tokenizer,
            prompts,
            similarity,
            score_function,
            head,
            files,
            codes,
            notes,
            remarks,
            pruning,
            timings,
        }
    }
}

/// Refuses a tokenizer whose sequences are longer than the model's.
fn check_length(config: &EncoderConfig, tokenizer: Option<&SentenceTokenizer>) -> Result<()> {
    match tokenizer.map(SentenceTokenizer::max_length).filter(|&length| length > config.max_position) {
        Some(length) => Err(Error::InvalidSetting {
            path: PARTS.into(),
            setting: "max_length of the tokenizer",
            found: length.to_string(),
            expected: format!("at most {}, the positions of the model", config.max_position),
        }),
        None => Ok(()),
    }
}

/// Refuses weights that are not those of `config`.
fn check_weights(config: &EncoderConfig, weights: &EncoderWeights) -> Result<()> {
    let path = Path::new(PARTS);
    if weights.layers.len() != config.layers {
        return Err(Error::InvalidSetting {
            path: path.to_owned(),
            setting: "layers",
            found: format!("weights of {}", weights.layers.len()),
            expected: config.layers.to_string(),
        });
    }
    check_absent(path, config, weights)?;
    for tensor in named_tensors(config, weights) {
        let (path, name) = (path.to_owned(), tensor.name.clone());
        let Some(found) = tensor.found else {
            let (alternatives, tensors) = ("no other name".to_owned(), 0);
            return Err(WeightError::MissingTensor { path, tensor: name, alternatives, tensors }.into());
        };
        if found.shape != tensor.shape || found.values.len() != tensor.shape.iter().product::<usize>() {
            let (found, expected) = (found.shape, tensor.shape);
            return Err(WeightError::TensorShape { path, tensor: name, found, expected }.into());
        }
        if let Some(first_index) = found.values.iter().position(|value| !value.is_finite()) {
            let count = found.values.iter().filter(|value| !value.is_finite()).count();
            return Err(WeightError::NonFiniteWeights { path, tensor: name, count, first_index }.into());
        }
    }
    Ok(())
}

/// Refuses parts that the architecture does not have, which checkpoints could not hold.
fn check_absent(path: &Path, config: &EncoderConfig, weights: &EncoderWeights) -> Result<()> {
    let absent = |setting, found: String| {
        let expected = format!("none in {}", config.architecture);
        Err(Error::InvalidSetting { path: path.to_owned(), setting, found, expected })
    };
    let types = &weights.embeddings.token_type;
    let is_zero = types.data.len() == config.embedding_features() && types.data.iter().all(|&value| value == 0.0);
    let is_one_row_of_zeros = types.rows == 1 && is_zero;
    if !config.architecture.has_token_types() && !is_one_row_of_zeros {
        return absent("token types", format!("{} rows", types.rows));
    }
    if weights.pooler.is_some() && !config.architecture.has_pooler() {
        return absent("pooler", "one".into());
    }
    if weights.embeddings.projection.is_some() && !config.projects_embeddings() {
        return absent("projection", "one".into());
    }
    Ok(())
}
