//! `pruned_heads` of `config.json`: heads that are not in the file any more.
//!
//! `{"0": [1, 4], "1": [0, 5]}` says that layer 0 has no heads 1 and 4 any more, and layer 1 no heads 0 and 5. The number of heads in the
//! same file is that before any was removed, so that a head has `hidden_size / heads` features as ever. The weights in the file are the
//! smaller ones. This is what transformers writes and reads in versions before 5; later versions refuse the weights for their shapes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};

use super::encoder::invalid;
use crate::error::{Error, Result};

const SETTING: &str = "pruned_heads";

/// How many heads every layer lacks; 0 without the setting.
///
/// # Errors
/// [`Error::InvalidSetting`] for what names no heads of the model, or all heads of a layer; [`Error::UnsupportedSetting`] for layers with
/// different numbers of heads.
pub(super) fn removed(path: &Path, value: Option<&Value>, layers: usize, heads: usize) -> Result<usize> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(0) };
    let wrong = |found: String, expected: String| invalid(path, SETTING, found, expected);
    let map =
        value.as_object().ok_or_else(|| wrong(value.to_string(), "an object of layers and their heads".into()))?;
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for (layer, list) in map {
        let number = layer.parse::<usize>().ok().filter(|&number| number < layers);
        let number =
            number.ok_or_else(|| wrong(format!("layer {layer:?}"), format!("0 to {}", layers.saturating_sub(1))))?;
        let head =
            |value: &Value| value.as_u64().and_then(|head| usize::try_from(head).ok()).filter(|&head| head < heads);
        let gone: Option<BTreeSet<usize>> = list.as_array().and_then(|list| list.iter().map(head).collect());
        let gone = gone.ok_or_else(|| {
            wrong(format!("layer {layer}: {list}"), format!("a list of heads from 0 to {}", heads.saturating_sub(1)))
        })?;
        if gone.len() >= heads {
            return Err(wrong(format!("layer {layer}: {list}"), format!("at most {} of {heads} heads", heads - 1)));
        }
        if counts.insert(number, gone.len()).is_some() {
            return Err(wrong(format!("layer {number} twice"), "every layer once".into()));
        }
    }
    let of = |layer: usize| counts.get(&layer).copied().unwrap_or(0);
    match (1..layers).find(|&layer| of(layer) != of(0)) {
        None => Ok(of(0)),
        Some(layer) => Err(Error::UnsupportedSetting {
            path: path.to_owned(),
            setting: SETTING,
            found: format!("{} removed of layer 0, {} of layer {layer}", of(0), of(layer)),
            supported: "as many heads in every layer",
        }),
    }
}

/// The setting for layers that keep `kept` of `heads` heads. Which ones are named does not matter, because the file has no others; these
/// are the last ones.
pub(super) fn written(layers: usize, heads: usize, kept: usize) -> Value {
    let gone: Vec<usize> = (kept..heads).collect();
    Value::Object((0..layers).map(|layer| (layer.to_string(), gone.clone().into())).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<usize> {
        removed(Path::new("config.json"), Some(&value), 2, 4)
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(written(2, 4, 3), json!({"0": [3], "1": [3]}));
        for kept in 1..=4 {
            assert_eq!(read(written(2, 4, kept)).unwrap(), 4 - kept);
        }
        assert_eq!(removed(Path::new(""), None, 2, 4).unwrap(), 0);
        for (value, expected) in [(json!(null), 0), (json!({}), 0), (json!({"1": [2, 0], "0": [1, 3, 3]}), 2)] {
            assert_eq!(read(value).unwrap(), expected);
        }
    }

    #[test]
    fn what_names_no_heads_is_refused() {
        for (value, expected) in [
            (json!([1]), "an object of layers"),
            (json!({"2": [0]}), "layer \"2\""),
            (json!({"-1": [0]}), "layer \"-1\""),
            (json!({"0": 1}), "a list of heads from 0 to 3"),
            (json!({"0": [4]}), "a list of heads from 0 to 3"),
            (json!({"0": [0.5]}), "a list of heads from 0 to 3"),
            (json!({"0": [0, 1, 2, 3]}), "at most 3 of 4 heads"),
            (json!({"0": [0], "00": [0]}), "layer 0 twice"),
            (json!({"0": [0]}), "1 removed of layer 0, 0 of layer 1"),
            (json!({"1": [0]}), "0 removed of layer 0, 1 of layer 1"),
        ] {
            let error = read(value.clone()).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("pruned_heads"), "{value}: {error}");
        }
    }
}
