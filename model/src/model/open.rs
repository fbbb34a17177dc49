//! From files to a model.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::model::{Model, ModelFiles, Timings};
use crate::checkpoint::{Checkpoint, TensorInfo, WeightPath, graph_config, is_graph};
use crate::codes::FileCodes;
use crate::config::EncoderConfig;
use crate::error::{Error, Result};
use crate::heads::{Head, HeadConfig, HeadWeights};
use crate::hub::model_folder;
#[cfg(feature = "onnx")]
use crate::onnx::{OnnxGraph, Outputs, Read};
use crate::packed::is_packed;
#[cfg(feature = "onnx")]
use crate::pooling::PoolingSource;
use crate::pooling::{Modules, Pooling};
use crate::settings::{Remark, RemarkScope, SentenceSettings, TextSettings};
use crate::tokenize::{SentenceTokenizer, has_tokenizer};
use crate::weights::EncoderWeights;

/// How [`Model::open_with`] opens a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenOptions {
    /// The weight file, index or ONNX graph to read: a path below the directory. `None` takes the first of the usual names.
    pub weights: Option<PathBuf>,
}

impl OpenOptions {
    /// With the weights of one file: a path below the directory, to a weight file, an index or an ONNX graph.
    #[must_use]
    pub fn with_weights(self, file: impl Into<PathBuf>) -> OpenOptions {
        OpenOptions { weights: Some(file.into()) }
    }
}

/// What a weight file or a graph holds.
struct Content {
    weights: EncoderWeights,
    codes: Option<FileCodes>,
    /// What replaces `layer_norm_eps` of the configuration.
    epsilon: Option<f32>,
    /// What pools the hidden states in a graph.
    pooling: Option<Pooling>,
    notes: Vec<String>,
    remarks: Vec<Remark>,
}

impl Model {
    /// Reads a model: a directory, an ONNX graph, or a weight file, whose folder is the model's.
    ///
    /// A directory is in the hub's layout: `config.json`, the weights (looked for as [`Checkpoint::in_folder`] says; else an ONNX graph:
    /// `model.onnx`, `onnx/model.onnx`, `model_quantized.onnx`, `onnx/model_quantized.onnx`, `deployment/model.onnx`), and where
    /// present `tokenizer.json`, and the files of sentence-transformers: `modules.json` with the modules that it names,
    /// `sentence_bert_config.json`, `config_sentence_transformers.json`.
    ///
    /// An ONNX graph has `config.json`, `tokenizer.json` and the pooling settings in its own folder or in the folder above. s8 codes, scales and
    /// zero points of the graph are kept unchanged: see [`Model::codes`]. Until this returns, the file and those with its external data must not
    /// be changed.
    ///
    /// # Errors
    /// Every way in which a file can be missing, damaged or of an unsupported model is its own [`Error`] variant.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = &model_folder(path.as_ref())?;
        match (path.is_dir(), path.parent().zip(path.file_name())) {
            (false, _) if is_graph(path) => Self::open_graph(path),
            (false, Some((folder, file))) if path.is_file() && !is_packed(path).unwrap_or(false) => {
                let folder = if folder == Path::new("") { Path::new(".") } else { folder };
                Self::open_with(folder, &OpenOptions::default().with_weights(file))
            }
            _ => Self::open_directory(path),
        }
    }

    /// Like [`Model::open`], with options for directories.
    ///
    /// # Errors
    /// Those of [`Model::open`].
    pub fn open_with(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        let path = &model_folder(path.as_ref())?;
        let Some(weights) = &options.weights else { return Self::open(path) };
        let modules = Modules::read(path)?;
        let config = modules.encoder.join("config.json");
        Self::read(modules, config, WeightPath::of(path.join(weights)))
    }

    fn open_directory(dir: &Path) -> Result<Self> {
        if let Ok(true) = is_packed(dir) {
            let (path, what) = (dir.to_owned(), "Model::open".to_owned());
            return Err(Error::PackedModel { path, what, remedy: "to run a packed model, open it as PackedModel" });
        }
        let modules = Modules::read(dir)?;
        let config = modules.encoder.join("config.json");
        match (config.exists(), WeightPath::locate(&modules.encoder)) {
            // A graph may have its configuration in its own folder.
            (false, Ok(WeightPath::Graph(graph))) => {
                Self::read(modules, graph_config(&graph), WeightPath::Graph(graph))
            }
            (false, _) => Self::read(modules, config, WeightPath::Tensors(PathBuf::new())),
            (true, weights) => Self::read(modules, config, weights?),
        }
    }

    fn open_graph(graph: &Path) -> Result<Self> {
        let config = graph_config(graph);
        let modules = Modules::read(config.parent().unwrap_or(Path::new(".")))?;
        Self::read(modules, config, WeightPath::Graph(graph.to_owned()))
    }

    fn read(modules: Modules, config_path: PathBuf, path: WeightPath) -> Result<Self> {
        let _span = tracing::info_span!("read").entered();
        crate::forked::check()?;
        let start = Instant::now();
        let mut config = EncoderConfig::from_file(&config_path)?;
        modules.check(config.hidden_size)?;
        let sentence = SentenceSettings::read(&modules.root)?;
        // A graph's own folder may have the tokenizer too.
        let beside = config_path.parent().unwrap_or(Path::new("."));
        let folder = match &path {
            WeightPath::Graph(graph) if !has_tokenizer(beside) => graph.parent().unwrap_or(beside),
            _ => beside,
        };
        let content = || match &path {
            WeightPath::Tensors(path) => {
                let checkpoint = Checkpoint::open(path)?;
                let unused = unused_layers(&checkpoint, &config)?;
                let weights = checkpoint.encoder_weights(&config)?;
                let (notes, remarks) = (checkpoint.notes().to_vec(), unused.into_iter().collect());
                Ok(Content { weights, codes: None, epsilon: None, pooling: None, notes, remarks })
            }
            WeightPath::Graph(path) => graph_content(path, &config_path, &config),
        };
        let texts = TextSettings::read(&[folder, beside], config.max_position)?;
        let options = texts.tokenizer_options(&config_path);
        let (content, tokenizer) = rayon::join(content, || SentenceTokenizer::open(folder, &options));
        let (content, tokenizer) = (content?, tokenizer?);
        let Content { weights, codes, epsilon, pooling: own_pooling, notes, remarks } = content;
        let tokenizer = tokenizer.map(|tokenizer| tokenizer.for_vocabulary(config.vocab_size));
        let SentenceSettings { prompts, similarity, score_function, remarks: said } = sentence;
        let strange = tokenizer.iter().flat_map(|tokenizer| texts.remarks_on(tokenizer));
        let remarks = strange.chain(texts.remarks.iter().cloned()).chain(remarks).chain(said).collect();
        config.layer_norm_eps = epsilon.unwrap_or(config.layer_norm_eps);
        let pooling = match own_pooling {
            Some(own) => modules.pooling.joined(own)?,
            None => modules.pooling,
        };
        let timings = Timings { read: start.elapsed(), ..Timings::default() };
        let files = Some(ModelFiles { config: config_path, weights: path });
        let model = Self::unread(config, weights, pooling, tokenizer);
        Ok(Self { prompts, similarity, score_function, files, codes, notes, remarks, timings, ..model })
    }

    /// The head that [`Model::with_head`] gave, or else the head of the model, read from the files that [`Model::open`] read: `architectures`, the labels and `problem_type` of
    /// `config.json`, the function of a cross-encoder's scores, and the weights under the names of the architecture. Pruning does not touch it.
    ///
    /// # Errors
    /// [`Error::NoHead`] for a model without one, or with one that is not run here; otherwise those of [`Model::open`].
    pub fn head(&self) -> Result<Head> {
        if let Some(head) = &self.head {
            return Ok(Head::clone(head));
        }
        let files = self.files.as_ref().ok_or_else(|| Error::NoHead {
            path: PathBuf::from("seeded model"),
            found: "none".into(),
            expected: crate::heads::EXPECTED,
        })?;
        let config = HeadConfig::from_file(&files.config, self.config.architecture, self.score_function.as_deref())?;
        let weights = match &files.weights {
            WeightPath::Tensors(path) => Checkpoint::open(path)?.head_weights(
                &self.config,
                &files.config,
                &config,
                &self.weights.embeddings.word,
            )?,
            WeightPath::Graph(path) => graph_head(path, &self.config, &config)?,
        };
        Ok(Head::new(&files.config, config, weights))
    }

    /// The files that hold the weights, an index first, and the tensors in them; nothing for models that were not read.
    ///
    /// # Errors
    /// Those of opening the files again.
    pub fn weight_files(&self) -> Result<(Vec<PathBuf>, Vec<TensorInfo>)> {
        match self.files.as_ref().map(|files| &files.weights) {
            None => Ok((vec![], vec![])),
            Some(WeightPath::Graph(path)) => Ok((vec![path.clone()], graph_tensors(path)?)),
            Some(WeightPath::Tensors(path)) => {
                let checkpoint = Checkpoint::open(path)?;
                let mut paths = vec![checkpoint.path().to_owned()];
                paths.extend(checkpoint.files().into_iter().map(Path::to_owned));
                paths.dedup();
                Ok((paths, checkpoint.tensors()))
            }
        }
    }
}

/// What is to be said where a file holds more layers than `config.json` counts.
fn unused_layers(checkpoint: &Checkpoint, config: &EncoderConfig) -> Result<Option<Remark>> {
    let (used, stored) = (config.layers, checkpoint.stored_layers(config)?);
    let name = checkpoint.path().file_name().unwrap_or_default().to_string_lossy();
    let text = format!("layers: the first {used} of the {stored} in {name} are used, as config.json counts them");
    Ok((stored > used).then(|| Remark::new(RemarkScope::Texts, text)))
}

#[cfg(feature = "onnx")]
fn graph_content(path: &Path, config_path: &Path, config: &EncoderConfig) -> Result<Content> {
    let outputs = Outputs::read(config_path)?;
    let Read { weights, codes, epsilon, pooling, notes } = OnnxGraph::open(path)?.encoder(config, outputs)?;
    let pooling = pooling.map(|own| {
        let source = PoolingSource::Graph { path: path.to_owned(), output: own.output().to_owned() };
        Pooling { modes: own.modes, include_prompt: true, modules: own.modules, source }
    });
    Ok(Content { weights, codes, epsilon, pooling, notes, remarks: vec![] })
}

#[cfg(feature = "onnx")]
fn graph_head(path: &Path, config: &EncoderConfig, head: &HeadConfig) -> Result<HeadWeights> {
    OnnxGraph::open(path)?.head(config, head)
}

#[cfg(feature = "onnx")]
fn graph_tensors(path: &Path) -> Result<Vec<TensorInfo>> {
    Ok(OnnxGraph::open(path)?.tensors())
}

#[cfg(not(feature = "onnx"))]
fn graph_content(path: &Path, _: &Path, _: &EncoderConfig) -> Result<Content> {
    Err(without_onnx(path))
}

#[cfg(not(feature = "onnx"))]
fn graph_head(path: &Path, _: &EncoderConfig, _: &HeadConfig) -> Result<HeadWeights> {
    Err(without_onnx(path))
}

#[cfg(not(feature = "onnx"))]
fn graph_tensors(path: &Path) -> Result<Vec<TensorInfo>> {
    Err(without_onnx(path))
}

#[cfg(not(feature = "onnx"))]
fn without_onnx(path: &Path) -> Error {
    Error::Feature { path: path.to_owned(), what: "ONNX graphs", feature: "onnx" }
}
