//! Settings and weights of the modules behind Pooling.

use std::path::Path;

use serde_json::{Map, Value};

use super::module::{DenseModule, LAYER_NORM_EPSILON, ModuleActivation, NormModule};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::json::{read_json, read_json_if_present};

/// No vector of a model has more features.
const MAX_FEATURES: usize = 1 << 20;
/// What modules read and write: the vector of a text.
const VECTOR: &str = "sentence_embedding";

/// Reads `config.json` and the weights of a Dense module.
pub(super) fn read_dense(folder: &Path) -> Result<DenseModule> {
    let path = folder.join("config.json");
    let raw: Map<String, Value> = read_json(&path)?;
    let settings = ModuleSettings { path: &path, raw: &raw };
    settings.check_keys(
        &["in_features", "out_features", "bias", "activation_function", "use_residual"],
        "in_features, out_features, bias, activation_function",
    )?;
    if settings.switch("use_residual")? == Some(true) {
        return Err(settings.unsupported("use_residual", "true".to_owned(), "false"));
    }
    let activation = match settings.text("activation_function")? {
        // The module's own default.
        None => ModuleActivation::Tanh,
        Some(name) => ModuleActivation::from_path(name)
            .ok_or_else(|| settings.unsupported("activation_function", format!("{name:?}"), ModuleActivation::NAMES))?,
    };
    let (inputs, outputs) = (settings.features("in_features")?, settings.features("out_features")?);
    let has_bias = settings.switch("bias")?.unwrap_or(true);
    let linear = Checkpoint::in_folder(folder)?.module_linear(outputs, inputs, has_bias)?;
    Ok(DenseModule { linear, activation })
}

/// Reads `config.json` and the weights of a LayerNorm module.
pub(super) fn read_norm(folder: &Path) -> Result<NormModule> {
    let path = folder.join("config.json");
    let raw: Map<String, Value> = read_json(&path)?;
    let settings = ModuleSettings { path: &path, raw: &raw };
    settings.check_keys(&["dimension"], "dimension")?;
    let norm = Checkpoint::in_folder(folder)?.module_norm(settings.features("dimension")?)?;
    Ok(NormModule { norm, epsilon: LAYER_NORM_EPSILON })
}

/// Checks the settings of a Normalize module, of which older versions write none.
pub(super) fn read_normalize(folder: &Path) -> Result<()> {
    let path = folder.join("config.json");
    // A module without a folder of its own has no settings either.
    let raw = match folder.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.contains("Normalize")) {
        true => read_json_if_present::<Map<String, Value>>(&path)?,
        false => None,
    };
    raw.map_or(Ok(()), |raw| ModuleSettings { path: &path, raw: &raw }.check_keys(&[], "module_input_name"))
}

struct ModuleSettings<'a> {
    path: &'a Path,
    raw: &'a Map<String, Value>,
}

impl ModuleSettings<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.raw.get(key).filter(|value| !value.is_null())
    }

    fn switch(&self, key: &'static str) -> Result<Option<bool>> {
        let wrong = |value: &Value| self.invalid(key, value.to_string(), "true or false");
        self.get(key).map(|value| value.as_bool().ok_or_else(|| wrong(value))).transpose()
    }

    fn text(&self, key: &'static str) -> Result<Option<&str>> {
        let wrong = |value: &Value| self.invalid(key, value.to_string(), "a text");
        self.get(key).map(|value| value.as_str().ok_or_else(|| wrong(value))).transpose()
    }

    fn features(&self, key: &'static str) -> Result<usize> {
        let found = self.get(key);
        let size = found.and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
        size.filter(|size| (1..=MAX_FEATURES).contains(size)).ok_or_else(|| {
            let found = found.map_or_else(|| "nothing".to_owned(), Value::to_string);
            self.invalid(key, found, "a number of features, at least 1")
        })
    }

    /// Refuses settings that are not known, and modules that read or write another thing than the vector of the text.
    fn check_keys(&self, known: &[&str], supported: &'static str) -> Result<()> {
        for (key, value) in self.raw {
            match &key[..] {
                "module_input_name" | "module_output_name" => {
                    if !value.is_null() && value.as_str() != Some(VECTOR) {
                        let found = format!("{key:?}: {value}");
                        return Err(self.unsupported("setting of a module", found, "\"sentence_embedding\""));
                    }
                }
                _ if known.contains(&&key[..]) || matches!(value, Value::Null | Value::Bool(false)) => {}
                _ => return Err(self.unsupported("setting of a module", format!("{key:?}: {value}"), supported)),
            }
        }
        Ok(())
    }

    fn unsupported(&self, setting: &'static str, found: String, supported: &'static str) -> Error {
        Error::UnsupportedSetting { path: self.path.to_owned(), setting, found, supported }
    }

    fn invalid(&self, setting: &'static str, found: String, expected: &str) -> Error {
        Error::InvalidSetting { path: self.path.to_owned(), setting, found, expected: expected.to_owned() }
    }
}
