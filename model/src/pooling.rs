//! Pooling: from hidden states of tokens to one embedding per sentence.
//!
//! The settings come from the files that sentence-transformers writes next to a model:
//! `modules.json` lists the modules (Transformer, Pooling, Normalize), `1_Pooling/config.json` says
//! how to pool.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::json::{read_json, read_json_if_present};
use crate::matrix::Matrix;

/// How the hidden states of a sentence become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PoolingMode {
    /// Mean over all tokens, special tokens included.
    Mean,
    /// The first token.
    Cls,
    /// Maximum over all tokens, per feature.
    Max,
}

impl PoolingMode {
    /// Every mode.
    pub const ALL: [PoolingMode; 3] = [PoolingMode::Mean, PoolingMode::Cls, PoolingMode::Max];

    /// Its name in the files of sentence-transformers.
    pub const fn name(self) -> &'static str {
        match self {
            PoolingMode::Mean => "mean",
            PoolingMode::Cls => "cls",
            PoolingMode::Max => "max",
        }
    }
}

/// Where the pooling settings came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolingSource {
    /// Read from this file.
    File(PathBuf),
    /// The caller chose it: [`Model::with_pooling`](crate::Model::with_pooling).
    Chosen,
    /// The directory has no pooling settings: mean pooling without normalisation was assumed.
    Default,
}

/// Pooling and normalisation of a sentence encoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pooling {
    /// How to pool.
    pub mode: PoolingMode,
    /// Whether the result is divided by its L2 norm.
    pub normalize: bool,
    /// Where this was read.
    pub source: PoolingSource,
}

impl Default for Pooling {
    /// Mean pooling without normalisation.
    fn default() -> Self {
        Self { mode: PoolingMode::Mean, normalize: false, source: PoolingSource::Default }
    }
}

/// The part of `modules.json` that matters: where the encoder lies, and how to pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Modules {
    /// Folder of `config.json` and the weights.
    pub(crate) encoder: PathBuf,
    /// The pooling settings.
    pub(crate) pooling: Pooling,
}

#[derive(Deserialize)]
struct RawModule {
    #[serde(default)]
    path: String,
    r#type: String,
}

#[derive(Deserialize)]
struct RawPooling {
    word_embedding_dimension: Option<usize>,
    pooling_mode: Option<String>,
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
    #[serde(default)]
    pooling_mode_weightedmean_tokens: bool,
    #[serde(default)]
    pooling_mode_lasttoken: bool,
}

impl RawModule {
    /// The type is a Python path such as `sentence_transformers.models.Pooling`.
    fn kind(&self) -> &str {
        self.r#type.rsplit('.').next().unwrap_or_default()
    }
}

/// A module of a `modules.json`.
#[cfg(feature = "hub")]
pub(crate) struct ModulePath {
    /// Transformer, Pooling, Normalize or what else there is.
    pub(crate) kind: String,
    /// Its folder, as it stands.
    pub(crate) path: String,
}

/// The modules that a `modules.json` lists.
#[cfg(feature = "hub")]
pub(crate) fn module_paths(path: &Path) -> Result<Vec<ModulePath>> {
    let list: Vec<RawModule> = read_json(path)?;
    Ok(list.into_iter().map(|module| ModulePath { kind: module.kind().to_owned(), path: module.path }).collect())
}

const SUPPORTED_MODULES: &str = "Transformer, Pooling, Normalize";
const SUPPORTED_MODES: &str = "exactly one of mean, cls, max";

impl Modules {
    /// Reads the module list of a model directory.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("modules.json");
        let Some(list) = read_json_if_present::<Vec<RawModule>>(&path)? else {
            let config = dir.join("1_Pooling").join("config.json");
            let mode = match config.exists() {
                true => Some(read_mode(&config)?),
                false => None,
            };
            let pooling = mode.map_or_else(Pooling::default, |mode| Pooling {
                mode,
                normalize: false,
                source: PoolingSource::File(config),
            });
            return Ok(Self { encoder: dir.to_owned(), pooling });
        };
        let mut modules = Self { encoder: dir.to_owned(), pooling: Pooling::default() };
        for module in &list {
            match module.kind() {
                "Transformer" => modules.encoder = dir.join(&module.path),
                "Pooling" => {
                    let config = dir.join(&module.path).join("config.json");
                    modules.pooling.mode = read_mode(&config)?;
                    modules.pooling.source = PoolingSource::File(config);
                }
                "Normalize" => modules.pooling.normalize = true,
                _ => {
                    return Err(Error::UnsupportedSetting {
                        path,
                        setting: "module",
                        found: format!("{:?}", module.r#type),
                        supported: SUPPORTED_MODULES,
                    });
                }
            }
        }
        Ok(modules)
    }

    /// Checks the pooling settings against the encoder.
    pub(crate) fn check(&self, hidden_size: usize) -> Result<()> {
        let PoolingSource::File(path) = &self.pooling.source else {
            return Ok(());
        };
        let raw: RawPooling = read_json(path)?;
        match raw.word_embedding_dimension {
            Some(found) if found != hidden_size => Err(Error::InvalidSetting {
                path: path.clone(),
                setting: "word_embedding_dimension",
                found: found.to_string(),
                expected: format!("hidden_size {hidden_size} of config.json"),
            }),
            _ => Ok(()),
        }
    }
}

fn read_mode(path: &Path) -> Result<PoolingMode> {
    let raw: RawPooling = read_json(path)?;
    let flags = [
        ("cls", raw.pooling_mode_cls_token),
        ("mean", raw.pooling_mode_mean_tokens),
        ("max", raw.pooling_mode_max_tokens),
        ("mean_sqrt_len", raw.pooling_mode_mean_sqrt_len_tokens),
        ("weightedmean", raw.pooling_mode_weightedmean_tokens),
        ("lasttoken", raw.pooling_mode_lasttoken),
    ];
    let set: Vec<&str> = match &raw.pooling_mode {
        Some(mode) => vec![mode],
        None => flags.into_iter().filter(|&(_, on)| on).map(|(name, _)| name).collect(),
    };
    match set[..] {
        ["mean"] => Ok(PoolingMode::Mean),
        ["cls"] => Ok(PoolingMode::Cls),
        ["max"] => Ok(PoolingMode::Max),
        _ => Err(Error::UnsupportedSetting {
            path: path.to_owned(),
            setting: "pooling mode",
            found: if set.is_empty() { "none".into() } else { set.join(" + ") },
            supported: SUPPORTED_MODES,
        }),
    }
}

impl Pooling {
    /// `modules.json` and the settings of the module Pooling, as sentence-transformers writes them.
    pub(crate) fn to_json(&self, hidden_size: usize) -> (Value, Value) {
        let module = |idx: usize, path: &str, kind: &str| json!({ "idx": idx, "name": idx.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}") });
        let mut modules = vec![module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling")];
        if self.normalize {
            modules.push(module(2, "2_Normalize", "Normalize"));
        }
        let pooling = json!({
            "word_embedding_dimension": hidden_size,
            "pooling_mode_cls_token": self.mode == PoolingMode::Cls,
            "pooling_mode_mean_tokens": self.mode == PoolingMode::Mean,
            "pooling_mode_max_tokens": self.mode == PoolingMode::Max,
        });
        (modules.into(), pooling)
    }

    /// Pools the hidden states of one sentence, `[N][hidden]` with N >= 1, into `[hidden]`.
    ///
    /// # Numerics
    /// Plain f32 sums in token order. A zero vector is not changed by normalisation.
    pub fn pool(&self, hidden: &Matrix) -> Vec<f32> {
        let mut pooled = vec![0.0; hidden.cols];
        if hidden.rows == 0 || hidden.cols == 0 {
            return pooled;
        }
        let rows = hidden.data.chunks_exact(hidden.cols);
        match self.mode {
            PoolingMode::Cls => pooled.copy_from_slice(hidden.row(0)),
            PoolingMode::Mean => {
                for row in rows {
                    pooled.iter_mut().zip(row).for_each(|(p, x)| *p += x);
                }
                let scale = 1.0 / hidden.rows as f32;
                pooled.iter_mut().for_each(|p| *p *= scale);
            }
            PoolingMode::Max => {
                pooled.fill(f32::NEG_INFINITY);
                for row in rows {
                    pooled.iter_mut().zip(row).for_each(|(p, x)| *p = p.max(*x));
                }
            }
        }
        if self.normalize {
            let norm = pooled.iter().map(|x| x * x).sum::<f32>().sqrt();
            if norm > 0.0 {
                pooled.iter_mut().for_each(|p| *p /= norm);
            }
        }
        pooled
    }
}
