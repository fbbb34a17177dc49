//! Numbers of tokens in settings.

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};

/// Lengths from here on mean that there is no limit; `transformers` writes 1e30.
const NO_LIMIT: f64 = 1e20;

/// A number of tokens of a file; `None` for the huge numbers that mean no limit.
pub(super) fn length(path: &Path, setting: &'static str, value: &Value) -> Result<Option<usize>> {
    match value.as_f64() {
        Some(length) if length >= NO_LIMIT => Ok(None),
        Some(length) if length >= 1.0 && length.fract() == 0.0 => Ok(Some(length as usize)),
        _ => Err(Error::InvalidSetting {
            path: path.to_owned(),
            setting,
            found: value.to_string(),
            expected: "a number of tokens, at least 1".to_owned(),
        }),
    }
}
