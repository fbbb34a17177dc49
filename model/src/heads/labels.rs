//! What the outputs of a head are called, in every way in which `config.json` says it.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

pub use super::problem::softmax;

/// No head has more labels.
const MAX_LABELS: usize = 1 << 20;

/// The names of a head's outputs, in their order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Labels {
    /// Empty where the file says nothing, not even how many there are.
    pub(super) names: Vec<String>,
    /// Where they are from.
    pub(super) source: LabelSource,
}

/// Where the names of a head's outputs are from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelSource {
    /// From `id2label`.
    #[default]
    Id2Label,
    /// From `id2label`, which has no names for some numbers: these are called `LABEL_i`.
    Incomplete,
    /// From `label2id`, turned around, because there is no `id2label`.
    Label2Id,
    /// Made up, `LABEL_0`, `LABEL_1`, ...: the file has no names.
    Generated,
}

/// The name that `transformers` gives an output without one.
pub(super) fn generated(output: usize) -> String {
    format!("LABEL_{output}")
}

impl Labels {
    /// From the settings of a `config.json`: `id2label`, else `label2id`, else `num_labels`.
    ///
    /// Names may be texts, numbers or truth values; `id2label` may be an object with numbers as keys, or a list.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for numbers that are none, that stand twice or that begin after 0, and for names of another type.
    pub(super) fn read(
        path: &Path,
        id2label: Option<&Value>,
        label2id: Option<&Value>,
        num_labels: Option<&Value>,
    ) -> Result<Labels> {
        let given = |value: Option<&Value>| value.filter(|value| !value.is_null() && !is_empty(value)).cloned();
        let wrong = |setting: &'static str, found: String, expected: &str| Error::InvalidSetting {
            path: path.to_owned(),
            setting,
            found,
            expected: expected.to_owned(),
        };
        match (given(id2label), given(label2id), given(num_labels)) {
            (Some(Value::Array(names)), ..) => {
                let names = names.into_iter().enumerate().map(|(id, name)| (id.to_string(), name)).collect();
                numbered(path, "id2label", names, LabelSource::Id2Label)
            }
            (Some(Value::Object(names)), ..) => numbered(path, "id2label", names, LabelSource::Id2Label),
            (Some(other), ..) => Err(wrong("id2label", other.to_string(), "an object of numbers and names, or a list")),
            (None, Some(Value::Object(ids)), _) => {
                let mut names = Map::new();
                for (name, id) in ids {
                    let key = match &id {
                        Value::String(id) => id.clone(),
                        other => other.to_string(),
                    };
                    if let Some(other) = names.insert(key.clone(), Value::String(name.clone())) {
                        let found = format!("number {key} for {other} and {name:?}");
                        return Err(wrong("label2id", found, "each number once"));
                    }
                }
                numbered(path, "label2id", names, LabelSource::Label2Id)
            }
            (None, Some(other), _) => Err(wrong("label2id", other.to_string(), "an object of names and numbers")),
            (None, None, Some(count)) => {
                let number = count.as_u64().and_then(|count| usize::try_from(count).ok());
                let number = number.filter(|count| (1..=MAX_LABELS).contains(count));
                let number = number.ok_or_else(|| wrong("num_labels", count.to_string(), "a number of labels"))?;
                Ok(Labels { names: (0..number).map(generated).collect(), source: LabelSource::Generated })
            }
            (None, None, None) => Ok(Labels { names: Vec::new(), source: LabelSource::Generated }),
        }
    }

    /// What `label2id` says that `id2label` does not, as a part of a message.
    pub(super) fn contradiction(&self, label2id: Option<&Value>) -> Option<String> {
        let ids = label2id?.as_object().filter(|_| self.source == LabelSource::Id2Label)?;
        self.names.iter().enumerate().find_map(|(number, name)| {
            let other = ids.get(name)?;
            let same = other.as_u64() == Some(number as u64) || other.as_str() == Some(&number.to_string()[..]);
            (!same).then(|| format!("{name:?} is number {number} in id2label and {other} in label2id"))
        })
    }
}

/// Names by their numbers. Numbers without a name are between the others only.
fn numbered(path: &Path, setting: &'static str, named: Map<String, Value>, source: LabelSource) -> Result<Labels> {
    let count = named.len();
    let wrong = |found: String| Error::InvalidSetting {
        path: path.to_owned(),
        setting,
        found,
        expected: format!("each number from 0 on at most once, for {count} labels"),
    };
    let mut found: Vec<(usize, Option<String>)> = Vec::with_capacity(count);
    for (id, name) in named {
        let number = id.trim().parse::<usize>().ok().filter(|&number| number < MAX_LABELS);
        let number = number.ok_or_else(|| wrong(format!("number {id}")))?;
        let name = match name {
            Value::Null => None,
            Value::String(name) => Some(name),
            Value::Number(name) => Some(name.to_string()),
            Value::Bool(name) => Some(name.to_string()),
            other => return Err(wrong(format!("{other} as the name of number {number}"))),
        };
        found.push((number, name));
    }
    found.sort();
    if let Some(twice) = found.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(wrong(format!("number {} twice", twice[0].0)));
    }
    if let Some((first, _)) = found.first().filter(|(first, _)| *first > 0) {
        return Err(wrong(format!("{first} as the first number")));
    }
    let outputs = found.last().map_or(0, |(last, _)| last + 1);
    let mut names: Vec<String> = (0..outputs).map(generated).collect();
    let mut unnamed = outputs - found.len();
    for (number, name) in found {
        match name {
            Some(name) => names[number] = name,
            None => unnamed += 1,
        }
    }
    let source = match (unnamed, source) {
        (0, source) => source,
        (_, LabelSource::Label2Id) => return Err(wrong("numbers that no name has".to_owned())),
        _ => LabelSource::Incomplete,
    };
    Ok(Labels { names, source })
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(settings: &Value) -> Result<Labels> {
        let get = |key| settings.get(key);
        Labels::read(Path::new("config.json"), get("id2label"), get("label2id"), get("num_labels"))
    }

    #[test]
    fn every_spelling_is_read() {
        let many: Map<String, Value> = (0..12).map(|i| (i.to_string(), json!(format!("l{i}")))).collect();
        let twelve: Vec<String> = (0..12).map(|i| format!("l{i}")).collect();
        assert_eq!(read(&json!({"id2label": many})).unwrap().names, twelve, "in the order of the numbers");
        for (settings, names, source) in [
            (json!({"id2label": {"0": "a", "1": "b"}}), vec!["a", "b"], LabelSource::Id2Label),
            (json!({"id2label": {"0": 0, "1": 1}}), vec!["0", "1"], LabelSource::Id2Label),
            (json!({"id2label": {"0": -1.5, "1": true}}), vec!["-1.5", "true"], LabelSource::Id2Label),
            (json!({"id2label": ["a", 2]}), vec!["a", "2"], LabelSource::Id2Label),
            (json!({"id2label": {"0": "a", "2": "c"}}), vec!["a", "LABEL_1", "c"], LabelSource::Incomplete),
            (json!({"id2label": {"0": "a", "1": null}}), vec!["a", "LABEL_1"], LabelSource::Incomplete),
            (json!({"label2id": {"b": 1, "a": 0}}), vec!["a", "b"], LabelSource::Label2Id),
            (json!({"label2id": {"b": "1", "a": "0"}, "id2label": {}}), vec!["a", "b"], LabelSource::Label2Id),
            (json!({"num_labels": 2, "id2label": null}), vec!["LABEL_0", "LABEL_1"], LabelSource::Generated),
            (json!({"num_labels": 3, "label2id": {"a": 0}}), vec!["a"], LabelSource::Label2Id),
            (json!({}), vec![], LabelSource::Generated),
        ] {
            let found = read(&settings).unwrap_or_else(|error| panic!("{settings}: {error}"));
            assert_eq!(
                (found.names, found.source),
                (names.into_iter().map(str::to_owned).collect(), source),
                "{settings}"
            );
        }
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for settings in [
            json!({"id2label": {"1": "a"}}),
            json!({"id2label": {"1": "a", "2": "b"}}),
            json!({"id2label": {"x": "a"}}),
            json!({"id2label": {"-1": "a"}}),
            json!({"id2label": {"0": "a", "00": "b"}}),
            json!({"id2label": {"0": ["a"]}}),
            json!({"id2label": {"0": "a", "99999999999": "b"}}),
            json!({"id2label": "a"}),
            json!({"label2id": {"a": 0, "b": 0}}),
            json!({"label2id": {"a": 0, "b": 2}}),
            json!({"label2id": {"a": 0.5}}),
            json!({"label2id": ["a"]}),
            json!({"num_labels": 0}),
            json!({"num_labels": "two"}),
            json!({"num_labels": 1_000_000_000_000u64}),
        ] {
            let error = read(&settings).unwrap_err();
            assert!(matches!(error, Error::InvalidSetting { .. }), "{settings}: {error}");
        }
    }

    #[test]
    fn two_directions_that_differ_are_noticed() {
        let labels = read(&json!({"id2label": {"0": "no", "1": "yes"}})).unwrap();
        assert_eq!(labels.contradiction(Some(&json!({"no": 0, "yes": "1"}))), None);
        assert_eq!(labels.contradiction(None), None);
        let said = labels.contradiction(Some(&json!({"no": 1, "yes": 0}))).unwrap();
        assert_eq!(said, "\"no\" is number 0 in id2label and 1 in label2id");
    }
}
