//! The settings of the module Pooling: `1_Pooling/config.json`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::mode::PoolingMode;
use crate::error::{Error, Result};
use crate::json::read_json;

/// What the file says.
pub(super) struct PoolingSettings {
    pub(super) path: PathBuf,
    /// `None` if the file names no mode.
    pub(super) modes: Option<Vec<PoolingMode>>,
    pub(super) include_prompt: bool,
    /// Features of the hidden states, and the key that says so.
    pub(super) hidden_size: Option<(&'static str, usize)>,
}

const MODES: &str =
    "\"cls\", \"max\", \"mean\", \"mean_sqrt_len_tokens\", \"weightedmean\", \"lasttoken\", or a list of them";

/// Both names of the number of features, the newer first.
const SIZES: [&str; 2] = ["embedding_dimension", "word_embedding_dimension"];

impl PoolingSettings {
    /// Reads the file. Newer ones have `pooling_mode`, a name or a list of names; older ones have a setting for each mode, of which
    /// several may be on.
    pub(super) fn read(path: &Path) -> Result<PoolingSettings> {
        let raw: Map<String, Value> = read_json(path)?;
        let settings = Settings { path, raw: &raw };
        settings.check_keys()?;
        Ok(PoolingSettings {
            path: path.to_owned(),
            modes: settings.modes()?,
            include_prompt: settings.switch("include_prompt")?.unwrap_or(true),
            hidden_size: settings.hidden_size()?,
        })
    }
}

struct Settings<'a> {
    path: &'a Path,
    raw: &'a Map<String, Value>,
}

impl Settings<'_> {
    /// A setting of that name whose value is not null.
    fn get(&self, key: &str) -> Option<&Value> {
        self.raw.get(key).filter(|value| !value.is_null())
    }

    fn switch(&self, key: &'static str) -> Result<Option<bool>> {
        let wrong = |value: &Value| self.invalid(key, value.to_string(), "true or false".to_owned());
        self.get(key).map(|value| value.as_bool().ok_or_else(|| wrong(value))).transpose()
    }

    fn modes(&self) -> Result<Option<Vec<PoolingMode>>> {
        let modes = match self.get("pooling_mode") {
            Some(Value::String(name)) => vec![self.mode(name)?],
            Some(Value::Array(names)) => names
                .iter()
                .map(|name| self.mode(name.as_str().unwrap_or(&name.to_string())))
                .collect::<Result<Vec<_>>>()?,
            Some(other) => return Err(self.unsupported(&other.to_string())),
            None => {
                let mut on = Vec::new();
                let mut is_silent = true;
                for mode in PoolingMode::ALL {
                    let switch = self.switch(mode.flag())?;
                    is_silent &= switch.is_none();
                    on.extend((switch == Some(true)).then_some(mode));
                }
                if is_silent {
                    return Ok(None);
                }
                on
            }
        };
        match modes.is_empty() {
            true => Err(self.unsupported("none")),
            false => Ok(Some(modes)),
        }
    }

    fn mode(&self, name: &str) -> Result<PoolingMode> {
        PoolingMode::from_name(name).ok_or_else(|| self.unsupported(&format!("{name:?}")))
    }

    fn hidden_size(&self) -> Result<Option<(&'static str, usize)>> {
        for key in SIZES {
            if let Some(value) = self.get(key) {
                let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
                let wrong = || self.invalid(key, value.to_string(), "a number".to_owned());
                return Ok(Some((key, size.ok_or_else(wrong)?)));
            }
        }
        Ok(None)
    }

    /// A setting that is not known may change what is computed.
    fn check_keys(&self) -> Result<()> {
        let is_known = |key: &str| {
            SIZES.contains(&key)
                || ["pooling_mode", "include_prompt", "pooling_output_dimension"].contains(&key)
                || PoolingMode::ALL.iter().any(|mode| mode.flag() == key)
        };
        match self.raw.iter().find(|(key, value)| !is_known(key) && is_on(value)) {
            None => Ok(()),
            Some((key, value)) => Err(Error::UnsupportedSetting {
                path: self.path.to_owned(),
                setting: "setting of Pooling",
                found: format!("{key:?}: {value}"),
                supported: "pooling_mode, the older pooling_mode_* settings, include_prompt and embedding_dimension",
            }),
        }
    }

    fn unsupported(&self, found: &str) -> Error {
        Error::UnsupportedSetting {
            path: self.path.to_owned(),
            setting: "pooling mode",
            found: found.to_owned(),
            supported: MODES,
        }
    }

    fn invalid(&self, setting: &'static str, found: String, expected: String) -> Error {
        Error::InvalidSetting { path: self.path.to_owned(), setting, found, expected }
    }
}

/// Whether a setting says anything.
fn is_on(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}
