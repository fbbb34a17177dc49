//! Prompts: what is put before a text.

use serde::{Deserialize, Serialize};

use super::remark::{Remark, RemarkScope};
use crate::error::{Error, Result};

/// A text that is put before every text, with its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// `query`, `document`, ...
    pub name: String,
    /// Put before a text as it stands, without a blank between.
    pub text: String,
}

/// The prompts of a model, from `config_sentence_transformers.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompts {
    /// In the order of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<Prompt>,
    /// The name of the one that is used where none is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// Which prompt is put before texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PromptChoice<'a> {
    /// The model's default, if it has one.
    #[default]
    Default,
    /// None.
    None,
    /// The model's prompt of this name.
    Name(&'a str),
    /// This text.
    Text(&'a str),
}

impl Prompts {
    /// The text of the default prompt; `None` without one, and for an empty one.
    pub fn default_text(&self) -> Option<&str> {
        self.text_of(self.default.as_deref()?)
    }

    /// The text of the chosen prompt; `None` if nothing is put before texts.
    ///
    /// # Errors
    /// [`Error::UnknownPrompt`] for a name that the model does not have.
    pub fn choose<'p>(&'p self, choice: PromptChoice<'p>) -> Result<Option<&'p str>> {
        match choice {
            PromptChoice::Default => Ok(self.default_text()),
            PromptChoice::None => Ok(None),
            PromptChoice::Text(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            PromptChoice::Name(name) => match self.list.iter().any(|prompt| prompt.name == name) {
                true => Ok(self.text_of(name)),
                false => Err(Error::UnknownPrompt { found: name.to_owned(), expected: self.names() }),
            },
        }
    }

    fn text_of(&self, name: &str) -> Option<&str> {
        let prompt = self.list.iter().find(|prompt| prompt.name == name)?;
        Some(&prompt.text[..]).filter(|text| !text.is_empty())
    }

    /// The names, for messages.
    pub fn names(&self) -> String {
        let names: Vec<String> = self.list.iter().map(|prompt| format!("{:?}", prompt.name)).collect();
        if names.is_empty() { "none: the model names no prompts".to_owned() } else { names.join(", ") }
    }

    /// What users should know of a prompt that they did not ask for.
    pub fn remark(&self) -> Option<Remark> {
        let (name, text) = (self.default.as_deref()?, self.default_text()?);
        let text = format!("prompt: {text:?} is put before every text (default_prompt_name: {name:?})");
        Some(Remark::new(RemarkScope::Embeddings, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_chosen_by_name_by_text_and_by_default() {
        let prompt = |name: &str, text: &str| Prompt { name: name.into(), text: text.into() };
        let list = vec![prompt("query", "query: "), prompt("document", "")];
        let prompts = Prompts { list, default: Some("query".into()) };
        for (choice, expected) in [
            (PromptChoice::Default, Some("query: ")),
            (PromptChoice::None, None),
            (PromptChoice::Name("query"), Some("query: ")),
            (PromptChoice::Name("document"), None),
            (PromptChoice::Text("find: "), Some("find: ")),
            (PromptChoice::Text(""), None),
        ] {
            assert_eq!(prompts.choose(choice).unwrap(), expected, "{choice:?}");
        }
        let error = prompts.choose(PromptChoice::Name("passage")).unwrap_err().to_string();
        assert!(error.contains("\"passage\"") && error.contains("\"query\", \"document\""), "{error}");
        assert!(prompts.remark().unwrap().text.contains("\"query: \""));
        let silent = Prompts { default: Some("document".into()), ..prompts };
        assert_eq!((silent.default_text(), silent.remark()), (None, None));
        assert_eq!(Prompts::default().choose(PromptChoice::Default).unwrap(), None);
    }
}
