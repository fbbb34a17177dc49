//! From a model to a directory in the hub's layout.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, View};
use serde_json::{Value, json};

use super::model::Model;
use crate::checkpoint::{FoundTensor, head_tensors, named_tensors};
use crate::error::{Error, Result};
use crate::files::{self, WriteError};
use crate::heads::{Head, HeadWeights};
use crate::pooling::{LAYER_NORM_EPSILON, PoolingSource, SentenceModule, WrittenModule};
use crate::settings::{SENTENCE_FILE, written_settings};

impl Model {
    /// Writes the model into a directory: `config.json`, `model.safetensors` (f32, zeros as they are, under the names of the
    /// architecture), and where the model has them `tokenizer.json`, `sentence_bert_config.json`, `config_sentence_transformers.json`,
    /// `modules.json` and the folders of modules. [`Model::open`] reads the same model from it; codes of a quantised file are not written.
    ///
    /// The head of [`Model::head`], where there is one, is written under the names of its class, beside the encoder's tensors with the
    /// prefix of the architecture, as `transformers` has them.
    ///
    /// The directory is written under a temporary name and then renamed, so it appears only when it is complete.
    ///
    /// # Errors
    /// [`Error::Occupied`] where there is something other than an empty folder; [`Error::InvalidSetting`] for a shape that no
    /// `config.json` of the architecture can say, and for modules that no folder can say; those of [`Model::head`] but for
    /// [`Error::NoHead`]; [`Error::Io`].
    pub fn write(&self, dir: impl AsRef<Path>) -> Result<()> {
        let dir = dir.as_ref();
        if std::fs::symlink_metadata(dir).is_ok() {
            let is_empty = std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
            if !is_empty {
                return Err(Error::Occupied { path: dir.to_owned() });
            }
        }
        self.check_modules(dir)?;
        let head = match self.head() {
            Ok(head) => Some(head),
            Err(Error::NoHead { .. }) => None,
            Err(error) => return Err(error),
        };
        let mut config = self.config().to_json(&dir.join("config.json"))?;
        if let (Some(head), Value::Object(config)) = (&head, &mut config) {
            let (outputs, ties) = (head.weights().outputs(), self.ties_words(head));
            config.extend(head.config().settings(self.config().architecture, outputs, ties));
        }
        let io = |WriteError { action, source }: WriteError| Error::Io { path: dir.to_owned(), action, source };
        files::create_folder(dir, |folder| self.fill(folder, dir, &config, head.as_ref()), io)
    }

    /// Writes all files into `folder`; `dir` is where they will be, for messages.
    fn fill(&self, folder: &Path, dir: &Path, config: &Value, head: Option<&Head>) -> Result<()> {
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            let parent = path.parent().unwrap_or(folder);
            let written = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, bytes));
            written.map_err(|source| Error::Io { path: dir.join(name), action: "write", source })
        };
        write("config.json", &pretty(config))?;
        self.write_weights(folder, dir, head)?;
        if let Some(tokenizer) = self.tokenizer() {
            write("tokenizer.json", tokenizer.json())?;
            let settings = json!({ "max_seq_length": tokenizer.max_length(), "do_lower_case": false });
            write("sentence_bert_config.json", &pretty(&settings))?;
        }
        if let Some(settings) = written_settings(self.prompts(), self.similarity(), self.score_function.as_deref()) {
            write(SENTENCE_FILE, &pretty(&settings))?;
        }
        if matches!(self.pooling().source, PoolingSource::Assumed(_)) {
            return Ok(());
        }
        let (modules, written) = self.pooling().written(self.config().hidden_size);
        write("modules.json", &pretty(&modules))?;
        for WrittenModule { folder: own, settings, tensors } in written {
            if let Some(settings) = settings {
                write(&format!("{own}/config.json"), &pretty(&settings))?;
            }
            if !tensors.is_empty() {
                let views =
                    tensors.into_iter().map(|(name, shape, values)| (name, Floats { shape, values: values.into() }));
                write_tensors(&folder.join(&own), &dir.join(&own), views)?;
            }
        }
        Ok(())
    }

    fn write_weights(&self, folder: &Path, dir: &Path, head: Option<&Head>) -> Result<()> {
        let prefix = if head.is_some() { self.config().architecture.prefix_beside_head() } else { "" };
        let encoder = named_tensors(self.config(), self.weights()).into_iter();
        let encoder = encoder.filter_map(|tensor| Some((format!("{prefix}{}", tensor.name), tensor.found?)));
        let word = &self.weights().embeddings.word;
        let head = head.map(|head| head_tensors(self.config(), head.kind(), head.weights(), word));
        // The pooler of BERT is in both: that of the head is the one that it computes with.
        let tensors: BTreeMap<String, FoundTensor<'_>> = encoder.chain(head.into_iter().flatten()).collect();
        let views =
            tensors.into_iter().map(|(name, found)| (name, Floats { shape: found.shape, values: found.values }));
        write_tensors(folder, dir, views)
    }

    /// Whether the last layer of a masked language model is the table of word embeddings.
    fn ties_words(&self, head: &Head) -> bool {
        let word = &self.weights().embeddings.word;
        matches!(head.weights(), HeadWeights::Vocabulary { decoder, .. } if decoder.weight == *word)
    }

    /// Refuses modules that no folder can say.
    fn check_modules(&self, dir: &Path) -> Result<()> {
        let other = self.pooling().modules.iter().find_map(|module| match module {
            SentenceModule::LayerNorm(norm) if norm.epsilon != LAYER_NORM_EPSILON => Some(norm.epsilon),
            _ => None,
        });
        other.map_or(Ok(()), |found| {
            let (path, setting) = (dir.join("modules.json"), "epsilon of LayerNorm");
            let expected = format!("{LAYER_NORM_EPSILON}, which the module always has");
            Err(Error::InvalidSetting { path, setting, found: found.to_string(), expected })
        })
    }
}

/// Writes `model.safetensors` into `folder`; `dir` is where it will be, for messages.
fn write_tensors<'a, S: AsRef<str> + Ord + std::fmt::Display>(
    folder: &Path,
    dir: &Path,
    views: impl Iterator<Item = (S, Floats<'a>)>,
) -> Result<()> {
    const NAME: &str = "model.safetensors";
    // What libraries that load it into PyTorch look for.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let failed = |error: safetensors::SafeTensorError| {
        let source = match error {
            safetensors::SafeTensorError::IoError(source) => source,
            other => std::io::Error::other(other),
        };
        let path: PathBuf = dir.join(NAME);
        Error::Io { path, action: "write", source }
    };
    safetensors::serialize_to_file(views, Some(metadata), &folder.join(NAME)).map_err(failed)
}

/// A tensor of f32 as safetensors takes it.
struct Floats<'a> {
    shape: Vec<usize>,
    values: Cow<'a, [f32]>,
}

impl View for Floats<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
    }

    fn data_len(&self) -> usize {
        4 * self.values.len()
    }
}

fn pretty(json: &Value) -> Vec<u8> {
    format!("{json:#}\n").into_bytes()
}
