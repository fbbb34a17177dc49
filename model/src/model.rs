//! From a model directory to f32 weights, and to calibrated ones: the first stages.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lacuna_pattern::Block;
use rayon::prelude::*;

use crate::calibrate::{Calibration, CalibrationOptions, calibrate};
use crate::calibrated::CalibratedModel;
use crate::checkpoint::{Checkpoint, TensorInfo, WeightPath, graph_config, is_graph};
use crate::config::EncoderConfig;
use crate::error::{Error, Result};
use crate::heads::{Head, HeadConfig};
use crate::onnx::{OnnxError, OnnxGraph, Read};
use crate::packed::is_packed;
use crate::pooling::{Modules, Pooling, PoolingMode, PoolingSource};
use crate::prune::{BlockZeros, Pruning, prune_encoder};
use crate::reference::Reference;
use crate::seeded::{Preset, seeded_weights};
use crate::stored::{Stored, StoredLayer};
use crate::tokenize::{SentenceTokenizer, TextInput, TokenizedText, locate_all};
use crate::tokens::TokenIds;
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
    config: EncoderConfig,
    weights: EncoderWeights,
    pooling: Pooling,
    tokenizer: Option<SentenceTokenizer>,
    /// Where the encoder's files are; seeded models have none.
    source: Option<Source>,
    /// What a quantised file says already.
    stored: Option<Stored>,
    /// What a reader of the load report should know of the file.
    notes: Vec<String>,
    pruning: Option<Pruning>,
    timings: Timings,
}

/// The files of a model.
#[derive(Debug, Clone)]
struct Source {
    config: PathBuf,
    weights: WeightPath,
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
    /// Reads a model directory in the hub's layout: `config.json`, the weights (looked for as
    /// [`Checkpoint::in_folder`] says; else an ONNX graph: `model.onnx`, `onnx/model.onnx`,
    /// `model_quantized.onnx`, `onnx/model_quantized.onnx`, `deployment/model.onnx`), and where
    /// present `tokenizer.json`, `sentence_bert_config.json`, `modules.json` and the pooling settings.
    ///
    /// # Errors
    /// Every way in which a file can be missing, damaged or of an unsupported model is its own
    /// [`Error`] variant.
    pub fn from_dir(dir: impl AsRef<Path>) -> Result<Self> {
        if let Ok(true) = is_packed(dir.as_ref()) {
            let (path, what) = (dir.as_ref().to_owned(), "Model::from_dir".to_owned());
            let remedy = "to run a packed model, open it as PackedModel";
            return Err(Error::PackedModel { path, what, remedy });
        }
        let modules = Modules::read(dir.as_ref())?;
        let config = modules.encoder.join("config.json");
        match (config.exists(), WeightPath::locate(&modules.encoder)) {
            // A graph may bring its configuration along, in its own folder.
            (false, Ok(WeightPath::Graph(graph))) => {
                Self::read(modules, graph_config(&graph), WeightPath::Graph(graph))
            }
            (false, _) => Self::read(modules, config, WeightPath::Tensors(PathBuf::new())),
            (true, weights) => Self::read(modules, config, weights?),
        }
    }

    /// Like [`Model::from_dir`] with the weights of one file: a path below the directory, to a weight file, an index or an ONNX graph.
    ///
    /// # Errors
    /// Those of [`Model::from_dir`].
    pub fn from_dir_with(dir: impl AsRef<Path>, file: impl AsRef<Path>) -> Result<Self> {
        let modules = Modules::read(dir.as_ref())?;
        let config = modules.encoder.join("config.json");
        Self::read(modules, config, WeightPath::of(dir.as_ref().join(file)))
    }

    /// Reads an ONNX graph, with `config.json`, `tokenizer.json` and the pooling settings beside it or in the folder above.
    ///
    /// s8 codes, scales and zero points that the graph has are kept as they are: see [`Model::stored`]. The file, and those with its
    /// external data, must not be changed meanwhile.
    ///
    /// # Errors
    /// [`Error::Onnx`] for a graph that is damaged, or not one of an encoder; otherwise those of [`Model::from_dir`].
    pub fn from_onnx(path: impl AsRef<Path>) -> Result<Self> {
        let graph = path.as_ref().to_owned();
        if !is_graph(&graph) {
            return Err(OnnxError::NotAGraph { path: graph }.into());
        }
        let config = graph_config(&graph);
        let modules = Modules::read(config.parent().unwrap_or(Path::new(".")))?;
        Self::read(modules, config, WeightPath::Graph(graph))
    }

    /// [`Model::from_onnx`] for a path that ends in `.onnx`, [`Model::from_dir_with`] for any other file, whose folder is the
    /// model's, [`Model::from_dir`] for a directory.
    ///
    /// # Errors
    /// Those of either.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        match (path.is_dir(), path.parent().zip(path.file_name())) {
            (false, _) if is_graph(path) => Self::from_onnx(path),
            (false, Some((folder, file))) if path.is_file() && !is_packed(path).unwrap_or(false) => {
                let folder = if folder == Path::new("") { Path::new(".") } else { folder };
                Self::from_dir_with(folder, file)
            }
            _ => Self::from_dir(path),
        }
    }

    fn read(modules: Modules, config_path: PathBuf, path: WeightPath) -> Result<Self> {
        let _span = tracing::info_span!("read").entered();
        let start = Instant::now();
        let config = EncoderConfig::from_file(&config_path)?;
        modules.check(config.hidden_size)?;
        // A graph's own folder may have the tokenizer too.
        let beside = config_path.parent().unwrap_or(Path::new("."));
        let folder = match &path {
            WeightPath::Graph(graph) if !beside.join("tokenizer.json").exists() => graph.parent().unwrap_or(beside),
            _ => beside,
        };
        let weights = || match &path {
            WeightPath::Tensors(path) => {
                let weights = Checkpoint::open(path)?.encoder_weights(&config)?;
                Ok(Read { weights, stored: None, notes: vec![] })
            }
            WeightPath::Graph(path) => OnnxGraph::open(path)?.encoder(&config),
        };
        let (read, tokenizer) = rayon::join(weights, || SentenceTokenizer::from_dir(folder, config.max_position));
        let (Read { weights, stored, notes }, tokenizer, pooling) = (read?, tokenizer?, modules.pooling);
        let timings = Timings { read: start.elapsed(), ..Timings::default() };
        let source = Some(Source { config: config_path, weights: path });
        Ok(Self { config, weights, pooling, tokenizer, source, stored, notes, pruning: None, timings })
    }

    /// A model of a preset shape with random weights, without a tokenizer.
    pub fn seeded(preset: Preset, seed: u64) -> Self {
        Self::seeded_checked(preset.config(), seed)
    }

    /// Like [`Model::seeded`] with a vocabulary of `vocab_size` entries, which makes the large
    /// embedding table of a demonstration small.
    pub fn seeded_with_vocab(preset: Preset, seed: u64, vocab_size: usize) -> Self {
        Self::seeded_checked(EncoderConfig { vocab_size, ..preset.config() }, seed)
    }

    /// Like [`Model::seeded`] of any shape.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a shape that no model can have.
    pub fn seeded_config(config: EncoderConfig, seed: u64) -> Result<Self> {
        config.validate(Path::new("seeded model"))?;
        Ok(Self::seeded_checked(config, seed))
    }

    fn seeded_checked(config: EncoderConfig, seed: u64) -> Self {
        let _span = tracing::info_span!("read").entered();
        let start = Instant::now();
        let weights = seeded_weights(&config, seed);
        let timings = Timings { read: start.elapsed(), ..Timings::default() };
        let pooling = Pooling::default();
        let (stored, notes) = (None, vec![]);
        Self { config, weights, pooling, tokenizer: None, source: None, stored, notes, pruning: None, timings }
    }

    /// Sets the weakest blocks of every linear layer to zero; see [`prune_encoder`].
    ///
    /// # Errors
    /// [`Error::Sparsity`], [`Error::DensePruning`].
    pub fn prune(mut self, block: Block, sparsity: f64) -> Result<Self> {
        let _span = tracing::info_span!("prune").entered();
        let start = Instant::now();
        prune_encoder(&mut self.weights, block, sparsity)?;
        self.pruning = Some(Pruning { block, sparsity });
        self.timings.prune += start.elapsed();
        Ok(self)
    }

    /// Calibrates on sentences with the default options. About 200 sentences of the kind that will
    /// be embedded are enough.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`], [`Error::Tokenizer`], [`Error::EmptyBatch`].
    pub fn calibrate<S: AsRef<str> + Sync>(self, sentences: &[S]) -> Result<CalibratedModel> {
        self.calibrate_with(sentences, &CalibrationOptions::default())
    }

    /// Calibrates on sentences.
    ///
    /// # Errors
    /// Those of [`Model::calibrate`], and [`Error::CalibrationOption`].
    pub fn calibrate_with<S: AsRef<str> + Sync>(
        self,
        sentences: &[S],
        options: &CalibrationOptions,
    ) -> Result<CalibratedModel> {
        let start = Instant::now();
        let tokenizer = self.tokenizer.as_ref().ok_or(Error::NoTokenizer)?;
        let encoded = tokenizer.encode_batch(sentences)?;
        let truncated = encoded.iter().filter(|e| e.truncated_from.is_some()).count();
        let ids: Vec<Vec<u32>> = encoded.into_iter().map(|e| e.ids).collect();
        let mut calibrated = self.calibrate_ids_with(&ids, options)?;
        calibrated.truncated = truncated;
        calibrated.model.timings.calibrate = start.elapsed();
        Ok(calibrated)
    }

    /// Calibrates on texts and pairs of texts with the default options, with the token types of pairs: for models with a head.
    ///
    /// # Errors
    /// Those of [`Model::calibrate`].
    pub fn calibrate_inputs(self, inputs: &[TextInput<'_>]) -> Result<CalibratedModel> {
        self.calibrate_inputs_with(inputs, &CalibrationOptions::default())
    }

    /// Calibrates on texts and pairs of texts.
    ///
    /// # Errors
    /// Those of [`Model::calibrate_inputs`], and [`Error::CalibrationOption`].
    pub fn calibrate_inputs_with(
        self,
        inputs: &[TextInput<'_>],
        options: &CalibrationOptions,
    ) -> Result<CalibratedModel> {
        let start = Instant::now();
        let limit = self.tokenizer.as_ref().map_or(0, SentenceTokenizer::max_length);
        let located = locate_all(&self.config, self.tokenizer.as_ref(), inputs)?;
        let tokens: Vec<TokenizedText> = located.into_iter().map(|tokens| tokens.cut(limit)).collect();
        let mut calibrated = self.calibrate_ids_with(&tokens, options)?;
        calibrated.truncated = tokens.iter().filter(|tokens| tokens.truncated_from.is_some()).count();
        calibrated.model.timings.calibrate = start.elapsed();
        Ok(calibrated)
    }

    /// Calibrates on token ids with the default options, for models without a tokenizer.
    ///
    /// # Errors
    /// Those of [`Reference::forward`].
    pub fn calibrate_ids<S: TokenIds>(self, ids: &[S]) -> Result<CalibratedModel> {
        self.calibrate_ids_with(ids, &CalibrationOptions::default())
    }

    /// Calibrates on token ids.
    ///
    /// # Errors
    /// Those of [`Model::calibrate_ids`], and [`Error::CalibrationOption`].
    pub fn calibrate_ids_with<S: TokenIds>(
        mut self,
        ids: &[S],
        options: &CalibrationOptions,
    ) -> Result<CalibratedModel> {
        let _span = tracing::info_span!("calibrate").entered();
        let start = Instant::now();
        let stored = self.stored.as_ref();
        let calibration = calibrate(&self.config, &self.weights, &self.pooling, stored, ids, options)?;
        let Calibration { layers: quant, precision, projection, report } = calibration;
        self.timings.calibrate = start.elapsed();
        Ok(CalibratedModel { model: self, quant, precision, projection, truncated: 0, report })
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

    /// The same model with another pooling than its files say; `source` becomes [`PoolingSource::Chosen`].
    #[must_use]
    pub fn with_pooling(mut self, mode: PoolingMode, normalize: bool) -> Self {
        self.pooling = Pooling { mode, normalize, source: PoolingSource::Chosen };
        self
    }

    /// The tokenizer, if the directory had one.
    pub fn tokenizer(&self) -> Option<&SentenceTokenizer> {
        self.tokenizer.as_ref()
    }

    /// Reads the head of the model, from the files that [`Model::from_dir`] read: `architectures`, `id2label` and `problem_type` of
    /// `config.json`, and the weights under the names of the architecture. Pruning does not touch it.
    ///
    /// # Errors
    /// [`Error::NoHead`] for a model without one, or with one that is not run here; otherwise those of [`Model::from_dir`].
    pub fn head(&self) -> Result<Head> {
        let source = self.source.as_ref().ok_or_else(|| Error::NoHead {
            path: PathBuf::from("seeded model"),
            found: "none".into(),
            expected: crate::heads::EXPECTED,
        })?;
        let config = HeadConfig::from_file(&source.config, self.config.architecture)?;
        let weights = match &source.weights {
            WeightPath::Tensors(path) => {
                Checkpoint::open(path)?.head_weights(&self.config, &config, &self.weights.embeddings.word)?
            }
            WeightPath::Graph(path) => OnnxGraph::open(path)?.head(&self.config, &config)?,
        };
        Ok(Head::new(&source.config, config, weights))
    }

    /// What the file says already, if it is quantised: codes and scales.
    pub fn stored(&self) -> Option<&Stored> {
        self.stored.as_ref()
    }

    /// What was taken from a quantised file, and what not, in words.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The files that hold the weights, an index first, and the tensors in them; nothing for seeded models.
    ///
    /// # Errors
    /// Those of opening the files again.
    pub fn weight_files(&self) -> Result<(Vec<PathBuf>, Vec<TensorInfo>)> {
        match self.source.as_ref().map(|source| &source.weights) {
            None => Ok((vec![], vec![])),
            Some(WeightPath::Graph(path)) => Ok((vec![path.clone()], OnnxGraph::open(path)?.tensors())),
            Some(WeightPath::Tensors(path)) => {
                let checkpoint = Checkpoint::open(path)?;
                let mut paths = vec![checkpoint.path().to_owned()];
                paths.extend(checkpoint.files().into_iter().map(Path::to_owned));
                paths.dedup();
                Ok((paths, checkpoint.tensors()))
            }
        }
    }

    /// What the file says of a layer.
    pub(crate) fn stored_layer(&self, i: usize) -> Option<&StoredLayer> {
        self.stored.as_ref()?.layers.get(i)
    }

    /// What [`Model::prune`] did last.
    pub fn pruning(&self) -> Option<Pruning> {
        self.pruning
    }

    /// Time spent so far.
    pub fn timings(&self) -> Timings {
        self.timings
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
