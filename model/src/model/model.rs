//! An encoder in f32.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lacuna_pattern::Block;
use rayon::prelude::*;

use crate::checkpoint::WeightPath;
use crate::codes::FileCodes;
use crate::config::EncoderConfig;
use crate::error::Result;
use crate::heads::Head;
use crate::pooling::{Pooling, PoolingSource};
use crate::prune::{BlockZeros, Pruning, prune_encoder};
use crate::reference::Reference;
use crate::settings::{Prompts, Remark, Similarity};
use crate::tokenize::SentenceTokenizer;
use crate::weights::{EncoderWeights, LINEAR_NAMES};

/// Wall time of the phases before compilation; a phase that did not happen is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// Reading and checking all files, or making seeded weights.
    pub read: Duration,
    /// Pruning.
    pub prune: Duration,
    /// Tokenizing the calibration sentences, running the f32 reference over them, choosing scales.
    pub calibrate: Duration,
}

/// An encoder in f32, as read or pruned.
///
/// Each phase runs in a `tracing` span of its name: `read`, `prune`, `calibrate`.
#[derive(Debug, Clone)]
pub struct Model {
    pub(super) config: EncoderConfig,
    /// Shared by clones.
    pub(super) weights: Arc<EncoderWeights>,
    pub(super) pooling: Pooling,
    pub(super) tokenizer: Option<SentenceTokenizer>,
    pub(super) prompts: Prompts,
    pub(super) similarity: Option<Similarity>,
    /// The function of a cross-encoder's scores, of `config_sentence_transformers.json`.
    pub(super) score_function: Option<String>,
    /// A head that takes the place of that of the files.
    pub(super) head: Option<Arc<Head>>,
    /// Where the encoder's files are; models that were not read have none.
    pub(super) files: Option<ModelFiles>,
    /// Codes and scales of a quantised file.
    pub(super) codes: Option<FileCodes>,
    /// Notes about the file, for the load report.
    pub(super) notes: Vec<String>,
    /// What users should know about the settings, but for pooling and prompts, which say it themselves.
    pub(super) remarks: Vec<Remark>,
    pub(super) pruning: Option<Pruning>,
    pub(super) timings: Timings,
}

/// The files of a model.
#[derive(Debug, Clone)]
pub(super) struct ModelFiles {
    pub(super) config: PathBuf,
    pub(super) weights: WeightPath,
}

/// The zeros of one linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinearZeros {
    /// Encoder layer.
    pub layer: usize,
    /// Which linear layer: q, k, v, o, up or down.
    pub name: &'static str,
    /// M, output features.
    pub m: usize,
    /// K, input features.
    pub k: usize,
    /// Zero blocks of every shape.
    pub zeros: BlockZeros,
}

impl Model {
    /// Sets the weakest blocks of every linear layer to zero, the same fraction of each matrix, as [`prune`](crate::prune()) does with one.
    ///
    /// Embeddings and their projection, the pooler, biases and layer normalisations stay as they are. A model that already has that many zero
    /// blocks does not change, and [`Model::pruning`] stays what it was.
    ///
    /// # Errors
    /// [`Error::Sparsity`](crate::Error::Sparsity), [`Error::DensePruning`](crate::Error::DensePruning).
    pub fn prune(mut self, block: Block, sparsity: f64) -> Result<Self> {
        let _span = tracing::info_span!("prune").entered();
        crate::forked::check()?;
        let start = Instant::now();
        if prune_encoder(Arc::make_mut(&mut self.weights), block, sparsity)? {
            self.pruning = Some(Pruning { block, sparsity });
        }
        self.timings.prune += start.elapsed();
        Ok(self)
    }

    /// The shape.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The f32 weights, pruned if [`Model::prune`] was called.
    pub fn weights(&self) -> &EncoderWeights {
        &self.weights
    }

    /// Pooling settings and where they came from.
    pub fn pooling(&self) -> &Pooling {
        &self.pooling
    }

    /// The same model with another pooling than that of its files: [`Pooling::new`] for a mode, [`Pooling::changed`] to keep the modules
    /// of the files. Its source becomes [`PoolingSource::Chosen`].
    ///
    /// # Errors
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) for parts that do not fit one another or the model.
    pub fn with_pooling(mut self, pooling: Pooling) -> Result<Self> {
        pooling.check(self.config.hidden_size, Path::new("pooling"))?;
        self.pooling = Pooling { source: PoolingSource::Chosen, ..pooling };
        Ok(self)
    }

    /// What users should know about the settings: what was assumed because the files are silent, and what is easily missed.
    pub fn remarks(&self) -> Vec<Remark> {
        let changeable = self.pooling.remark().into_iter().chain(self.prompts.remark());
        changeable.chain(self.remarks.iter().cloned()).collect()
    }

    /// [`Model::remarks`] but for those about pooling and prompts.
    pub fn setting_remarks(&self) -> &[Remark] {
        &self.remarks
    }

    /// The prompts that the files name. The default one is put before every text that is embedded.
    pub fn prompts(&self) -> &Prompts {
        &self.prompts
    }

    /// How embeddings are meant to be compared, if the files say so.
    pub fn similarity(&self) -> Option<Similarity> {
        self.similarity
    }

    /// The tokenizer, if the directory had one.
    pub fn tokenizer(&self) -> Option<&SentenceTokenizer> {
        self.tokenizer.as_ref()
    }

    /// The codes and scales of the file, if it is quantised.
    pub fn codes(&self) -> Option<&FileCodes> {
        self.codes.as_ref()
    }

    /// Notes on what was taken from a quantised file, and what was not.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What [`Model::prune`] did last.
    pub fn pruning(&self) -> Option<Pruning> {
        self.pruning
    }

    /// Time spent so far.
    pub fn timings(&self) -> Timings {
        self.timings
    }

    /// The same model, which was calibrated in that time.
    pub(crate) fn calibrated_in(mut self, time: Duration) -> Model {
        self.timings.calibrate = time;
        self
    }

    /// The file of the configuration, of a model that was read.
    pub(crate) fn config_file(&self) -> Option<&Path> {
        self.files.as_ref().map(|files| &*files.config)
    }

    /// The f32 reference forward pass over these weights.
    pub fn reference(&self) -> Reference<'_> {
        Reference::new(&self.config, &self.weights)
    }

    /// The zeros of every linear layer, in the order they run.
    pub fn zeros(&self) -> Vec<LinearZeros> {
        let layers = self.weights.layers.iter().enumerate();
        let linears: Vec<_> = layers
            .flat_map(|(layer, weights)| {
                LINEAR_NAMES.into_iter().zip(weights.linears()).map(move |(n, l)| (layer, n, l))
            })
            .collect();
        linears
            .into_par_iter()
            .map(|(layer, name, linear)| LinearZeros {
                layer,
                name,
                m: linear.outputs(),
                k: linear.inputs(),
                zeros: BlockZeros::of(&linear.weight),
            })
            .collect()
    }
}
