//! The modules of a model's folder.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::kind::{ModuleKind, SUPPORTED};
use super::module::SentenceModule;
use super::pooling::{Pooling, PoolingSource};
use super::settings::PoolingSettings;
use super::weights::{read_dense, read_norm, read_normalize};
use crate::error::{Error, Result};
#[cfg(feature = "hub")]
use crate::json::read_json;
use crate::json::read_json_if_present;

/// Where the encoder of a model lies, and what follows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Modules {
    /// The model's folder.
    pub(crate) root: PathBuf,
    /// Folder of `config.json` and the weights.
    pub(crate) encoder: PathBuf,
    /// What follows the encoder.
    pub(crate) pooling: Pooling,
    /// The file that lists the modules, or the folder.
    path: PathBuf,
    /// Features of the hidden states as the settings of Pooling say them, and the file and key that do.
    hidden_size: Option<(PathBuf, &'static str, usize)>,
}

#[derive(Deserialize)]
struct RawModule {
    #[serde(default)]
    path: String,
    r#type: String,
}

/// A module of a `modules.json`.
#[cfg(feature = "hub")]
pub(crate) struct ModulePath {
    /// Whether it is the encoder.
    pub(crate) is_encoder: bool,
    /// Whether it has settings that are read: `config.json` in its folder.
    pub(crate) has_settings: bool,
    /// Whether it has weights.
    pub(crate) has_weights: bool,
    /// Its folder, as it stands.
    pub(crate) path: String,
}

/// The modules that a `modules.json` lists; those that are not run here are left out.
#[cfg(feature = "hub")]
pub(crate) fn module_paths(path: &Path) -> Result<Vec<ModulePath>> {
    let list: Vec<RawModule> = read_json(path)?;
    let known = list.into_iter().filter_map(|module| {
        let kind = ModuleKind::of(&module.r#type)?;
        Some(ModulePath {
            is_encoder: kind == ModuleKind::Transformer,
            has_settings: matches!(kind, ModuleKind::Pooling | ModuleKind::Dense | ModuleKind::LayerNorm),
            has_weights: matches!(kind, ModuleKind::Dense | ModuleKind::LayerNorm),
            path: module.path,
        })
    });
    Ok(known.collect())
}

impl Modules {
    /// Reads the module list of a model directory. Without `modules.json`, folders such as `1_Pooling` and `2_Dense` are the modules, in
    /// the order of their numbers.
    ///
    /// # Errors
    /// [`Error::UnsupportedSetting`] for a module that is not run here; [`Error::InvalidSetting`] for modules that do not follow one another,
    /// and for a path that leads out of the folder; those of reading settings and weights.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let list = dir.join("modules.json");
        match read_json_if_present::<Vec<RawModule>>(&list)? {
            Some(raw) => {
                let modules = raw.iter().map(|module| module.resolve(&list)).collect::<Result<Vec<_>>>()?;
                if !modules.iter().any(|(kind, _)| *kind == ModuleKind::Transformer) {
                    let expected = "one Transformer, first".to_owned();
                    return Err(invalid(&list, "modules", "no Transformer".to_owned(), expected));
                }
                Self::of(dir, list, modules, "modules.json names no Pooling")
            }
            None => Self::of(dir, dir.to_owned(), folders(dir), "no 1_Pooling"),
        }
    }

    /// `list` is the file or folder that lists the modules; `silent` is said where no module is Pooling.
    fn of(dir: &Path, list: PathBuf, modules: Vec<(ModuleKind, String)>, silent: &str) -> Result<Self> {
        let source = PoolingSource::Assumed(silent.to_owned());
        let pooling = Pooling { source, ..Pooling::default() };
        let mut read = Self { root: dir.to_owned(), encoder: dir.to_owned(), pooling, path: list, hidden_size: None };
        let (mut encoders, mut is_pooled) = (0, false);
        for (kind, path) in modules {
            let folder = dir.join(&path);
            let name = || if path.is_empty() { "the folder itself".to_owned() } else { path.clone() };
            match kind {
                ModuleKind::Transformer if encoders > 0 || is_pooled => {
                    return Err(invalid(
                        &read.path,
                        "modules",
                        format!("a Transformer in {}", name()),
                        "one, first".into(),
                    ));
                }
                ModuleKind::Transformer => {
                    encoders += 1;
                    read.encoder = folder;
                }
                ModuleKind::Pooling if is_pooled => {
                    return Err(invalid(
                        &read.path,
                        "modules",
                        format!("a second Pooling in {}", name()),
                        "one".into(),
                    ));
                }
                ModuleKind::Pooling => {
                    is_pooled = true;
                    read.add_pooling(PoolingSettings::read(&folder.join("config.json"))?);
                }
                ModuleKind::Dropout => {}
                ModuleKind::Dense | ModuleKind::LayerNorm | ModuleKind::Normalize if !is_pooled => {
                    let found = format!("{kind:?} before Pooling, in {}", name());
                    return Err(invalid(&read.path, "modules", found, "Transformer, Pooling, then the others".into()));
                }
                ModuleKind::Dense => read.pooling.modules.push(SentenceModule::Dense(read_dense(&folder)?)),
                ModuleKind::LayerNorm => read.pooling.modules.push(SentenceModule::LayerNorm(read_norm(&folder)?)),
                ModuleKind::Normalize => {
                    read_normalize(&folder)?;
                    read.pooling.modules.push(SentenceModule::Normalize);
                }
            }
        }
        Ok(read)
    }

    fn add_pooling(&mut self, settings: PoolingSettings) {
        let PoolingSettings { path, modes, include_prompt, hidden_size } = settings;
        self.hidden_size = hidden_size.map(|(key, size)| (path.clone(), key, size));
        self.pooling.include_prompt = include_prompt;
        self.pooling.source = match modes {
            Some(modes) => {
                self.pooling.modes = modes;
                PoolingSource::File(path)
            }
            None => {
                let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
                PoolingSource::Assumed(format!("{folder}/config.json names no mode"))
            }
        };
    }

    /// Checks what was read against the encoder.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for sizes that contradict each other.
    pub(crate) fn check(&self, hidden_size: usize) -> Result<()> {
        match &self.hidden_size {
            Some((path, key, found)) if *found != hidden_size => {
                Err(invalid(path, key, found.to_string(), format!("hidden_size {hidden_size} of config.json")))
            }
            _ => self.pooling.check(hidden_size, &self.path),
        }
    }
}

impl RawModule {
    /// What it is, and its folder, which lies inside the model's.
    fn resolve(&self, list: &Path) -> Result<(ModuleKind, String)> {
        let kind = ModuleKind::of(&self.r#type).ok_or_else(|| Error::UnsupportedSetting {
            path: list.to_owned(),
            setting: "module",
            found: format!("{:?}", self.r#type),
            supported: SUPPORTED,
        })?;
        let is_inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        match Path::new(&self.path).components().all(is_inside) && !self.path.contains(['\\', '\0']) {
            true => Ok((kind, self.path.trim_end_matches('/').to_owned())),
            false => {
                let expected = "a folder inside the model's, without ..".to_owned();
                Err(invalid(list, "path of a module", format!("{:?}", self.path), expected))
            }
        }
    }
}

/// The folders that are named like modules, in the order of their numbers. A folder that cannot be read has none.
fn folders(dir: &Path) -> Vec<(ModuleKind, String)> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<(usize, ModuleKind, String)> = entries
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (number, kind) = ModuleKind::of_folder(&name)?;
            // A first module in a folder of its own is listed in modules.json, without which the encoder lies in the folder itself.
            (kind != ModuleKind::Transformer).then_some((number, kind, name))
        })
        .collect();
    found.sort_by_key(|(number, ..)| *number);
    found.into_iter().map(|(_, kind, name)| (kind, name)).collect()
}

fn invalid(path: &Path, setting: &'static str, found: String, expected: String) -> Error {
    Error::InvalidSetting { path: path.to_owned(), setting, found, expected }
}
