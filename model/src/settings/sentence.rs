//! `config_sentence_transformers.json`: prompts, similarity, and the function of a cross-encoder's scores.

use std::path::Path;

use serde_json::{Map, Value};

use super::prompts::{Prompt, Prompts};
use super::remark::{Remark, RemarkScope};
use crate::error::{Error, Result};
use crate::json::read_json_if_present;

/// The name of the file.
pub(crate) const FILE: &str = "config_sentence_transformers.json";

/// Settings that change nothing here.
const HARMLESS: [&str; 2] = ["__version__", "model_type"];

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SentenceSettings {
    pub(crate) prompts: Prompts,
    /// How embeddings of the model are meant to be compared.
    pub(crate) similarity: Option<Similarity>,
    /// The Python path of the function of a cross-encoder's scores.
    pub(crate) score_function: Option<String>,
    pub(crate) remarks: Vec<Remark>,
}

/// How embeddings of a model are meant to be compared: `similarity_fn_name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Similarity {
    /// The cosine of their angle.
    Cosine,
    /// Their dot product.
    Dot,
    /// The negative Euclidean distance.
    Euclidean,
    /// The negative Manhattan distance.
    Manhattan,
}

impl Similarity {
    /// Its name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Similarity::Cosine => "cosine",
            Similarity::Dot => "dot",
            Similarity::Euclidean => "euclidean",
            Similarity::Manhattan => "manhattan",
        }
    }

    /// The similarity of a name.
    pub fn from_name(name: &str) -> Option<Similarity> {
        let all = [Similarity::Cosine, Similarity::Dot, Similarity::Euclidean, Similarity::Manhattan];
        all.into_iter().find(|similarity| similarity.name() == name)
    }
}

/// The file of these settings, or `None` if there is nothing to say.
pub(crate) fn written(
    prompts: &Prompts,
    similarity: Option<Similarity>,
    score_function: Option<&str>,
) -> Option<Value> {
    if prompts.list.is_empty() && similarity.is_none() && score_function.is_none() {
        return None;
    }
    let list: Map<String, Value> =
        prompts.list.iter().map(|prompt| (prompt.name.clone(), prompt.text.clone().into())).collect();
    let mut json = serde_json::json!({
        "prompts": list,
        "default_prompt_name": prompts.default,
        "similarity_fn_name": similarity.map(Similarity::name),
    });
    if let Some(name) = score_function {
        json["activation_fn"] = name.into();
    }
    Some(json)
}

impl SentenceSettings {
    /// Reads the file of a model's folder, if there is one.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for values of another type and for a default prompt that is not among the prompts;
    /// [`Error::UnsupportedSetting`] for an unknown similarity; those of reading the file.
    pub(crate) fn read(dir: &Path) -> Result<SentenceSettings> {
        let path = dir.join(FILE);
        let Some(raw) = read_json_if_present::<Map<String, Value>>(&path)? else { return Ok(Self::default()) };
        let mut settings = SentenceSettings::default();
        let text = |setting: &'static str, value: &Value| match value {
            Value::String(text) => Ok(text.clone()),
            other => Err(invalid(&path, setting, other.to_string(), "a text".to_owned())),
        };
        for (key, value) in raw.iter().filter(|(_, value)| !value.is_null()) {
            match &key[..] {
                "prompts" => settings.prompts.list = prompts(&path, value)?,
                "default_prompt_name" => settings.prompts.default = Some(text("default_prompt_name", value)?),
                "similarity_fn_name" => {
                    let name = text("similarity_fn_name", value)?;
                    let similarity = Similarity::from_name(&name).ok_or_else(|| Error::UnsupportedSetting {
                        path: path.clone(),
                        setting: "similarity_fn_name",
                        found: format!("{name:?}"),
                        supported: "\"cosine\", \"dot\", \"euclidean\", \"manhattan\"",
                    })?;
                    settings.similarity = Some(similarity);
                }
                "activation_fn" => settings.score_function = Some(text("activation_fn", value)?),
                other if HARMLESS.contains(&other) => {}
                other => {
                    let said = format!("{other}: {value} of {FILE} is not applied: the setting is not known");
                    settings.remarks.push(Remark::new(RemarkScope::Texts, said));
                }
            }
        }
        let Prompts { list, default } = &settings.prompts;
        match default.as_ref().filter(|name| !list.iter().any(|prompt| prompt.name == **name)) {
            Some(name) => {
                let expected = format!("one of the prompts: {}", settings.prompts.names());
                Err(invalid(&path, "default_prompt_name", format!("{name:?}"), expected))
            }
            None => Ok(settings),
        }
    }
}

fn prompts(path: &Path, value: &Value) -> Result<Vec<Prompt>> {
    let wrong = |found: &Value, expected: &str| invalid(path, "prompts", found.to_string(), expected.to_owned());
    let Value::Object(object) = value else { return Err(wrong(value, "an object of names and texts")) };
    let prompt = |(name, text): (&String, &Value)| match text {
        Value::String(text) => Ok(Prompt { name: name.clone(), text: text.clone() }),
        // The library treats it as none.
        Value::Null => Ok(Prompt { name: name.clone(), text: String::new() }),
        other => Err(wrong(other, "a text for each name")),
    };
    object.iter().map(prompt).collect()
}

fn invalid(path: &Path, setting: &'static str, found: String, expected: String) -> Error {
    Error::InvalidSetting { path: path.to_owned(), setting, found, expected }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: &Value) -> Result<SentenceSettings> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), json.to_string()).unwrap();
        SentenceSettings::read(dir.path())
    }

    #[test]
    fn what_sentence_transformers_writes_is_read() {
        let settings = read(&json!({
            "__version__": {"sentence_transformers": "5.4.0"},
            "model_type": "SentenceTransformer",
            "prompts": {"query": "query: ", "document": ""},
            "default_prompt_name": "query",
            "similarity_fn_name": "dot",
            "activation_fn": "torch.nn.modules.linear.Identity",
        }))
        .unwrap();
        assert_eq!(settings.prompts.default_text(), Some("query: "));
        assert_eq!(settings.similarity, Some(Similarity::Dot));
        assert_eq!(settings.score_function.unwrap(), "torch.nn.modules.linear.Identity");
        assert_eq!(settings.remarks, []);
        let silent = json!({"prompts": {}, "default_prompt_name": null, "similarity_fn_name": null});
        assert_eq!(read(&silent).unwrap(), SentenceSettings::default());
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(SentenceSettings::read(dir.path()).unwrap(), SentenceSettings::default());
    }

    #[test]
    fn what_cannot_be_followed_is_named() {
        for (json, expected) in [
            (json!({"default_prompt_name": "query"}), "invalid default_prompt_name: found \"query\""),
            (json!({"prompts": {"a": "b"}, "default_prompt_name": "query"}), "one of the prompts: \"a\""),
            (json!({"prompts": ["a"]}), "invalid prompts"),
            (json!({"prompts": {"a": 1}}), "invalid prompts: found 1"),
            (json!({"similarity_fn_name": "hamming"}), "unsupported similarity_fn_name: found \"hamming\""),
        ] {
            let error = read(&json).unwrap_err().to_string();
            assert!(error.contains(expected), "{json}: {error}");
        }
        let said = read(&json!({"truncate_dim": 64})).unwrap().remarks;
        assert!(said[0].text.starts_with("truncate_dim: 64 of config_sentence_transformers.json"), "{said:?}");
    }
}
