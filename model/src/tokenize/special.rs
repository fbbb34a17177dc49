//! Special and added tokens that the files beside a vocabulary name.
//!
//! They count beside a `tokenizer.json` too.
//! As transformers reads them: `tokenizer_config.json` first. If that has no `added_tokens_decoder`, then
//! `special_tokens_map.json` replaces its special tokens, and `added_tokens.json` has the others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::json::read_json_if_present;

/// The names of special tokens, in the order in which transformers adds them.
const NAMES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The lists of further special tokens.
const LISTS: [&str; 2] = ["additional_special_tokens", "extra_special_tokens"];
/// All added tokens with their ids.
const DECODER: &str = "added_tokens_decoder";

/// A token that stands for itself in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddedToken {
    pub(super) content: String,
    pub(super) single_word: bool,
    pub(super) lstrip: bool,
    pub(super) rstrip: bool,
    pub(super) normalized: bool,
    pub(super) special: bool,
}

impl AddedToken {
    /// A special token.
    pub(super) fn special(content: &str) -> AddedToken {
        AddedToken {
            content: content.to_owned(),
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
            special: true,
        }
    }

    /// A token as `tokenizer.json` has it.
    pub(super) fn to_json(&self, id: u32) -> Value {
        json!({
            "id": id, "content": self.content, "single_word": self.single_word, "lstrip": self.lstrip,
            "rstrip": self.rstrip, "normalized": self.normalized, "special": self.special,
        })
    }
}

/// What the files beside a vocabulary say.
pub(super) struct TokenFiles {
    /// `tokenizer_config.json`, for messages.
    pub(super) path: PathBuf,
    /// Whether there is one.
    pub(super) is_there: bool,
    settings: Map<String, Value>,
    /// Tokens with the ids that the files give them.
    added: BTreeMap<u32, AddedToken>,
    /// Whether `added` is from `added_tokens_decoder`.
    has_decoder: bool,
    /// The keys that `special_tokens_map.json` has.
    of_map: BTreeSet<String>,
}

impl TokenFiles {
    pub(super) fn read(dir: &Path) -> Result<TokenFiles> {
        let path = dir.join("tokenizer_config.json");
        let read: Option<Map<String, Value>> = read_json_if_present(&path)?;
        let (is_there, settings) = (read.is_some(), read.unwrap_or_default());
        let (added, of_map) = (BTreeMap::new(), BTreeSet::new());
        let mut files = TokenFiles { path, is_there, settings, added, has_decoder: false, of_map };
        match files.settings.remove(DECODER).filter(|decoder| !decoder.is_null()) {
            Some(decoder) => files.read_decoder(&decoder)?,
            None => files.read_older(dir)?,
        }
        Ok(files)
    }

    /// `{"5": {"content": "[MASK]", "lstrip": false, ...}}`
    fn read_decoder(&mut self, decoder: &Value) -> Result<()> {
        let wrong = |found: String| self.invalid(DECODER, found, "an object of ids and tokens");
        let mut added = BTreeMap::new();
        for (id, token) in decoder.as_object().ok_or_else(|| wrong(kind(decoder).into()))? {
            let id = id.parse().map_err(|_| wrong(format!("the id {id:?}")))?;
            added.insert(id, self.token_of(DECODER, token, &AddedToken::special(""))?);
        }
        (self.added, self.has_decoder) = (added, true);
        Ok(())
    }

    fn read_older(&mut self, dir: &Path) -> Result<()> {
        let map: Option<Map<String, Value>> = read_json_if_present(&dir.join("special_tokens_map.json"))?;
        for (key, mut value) in map.unwrap_or_default().into_iter().filter(|(_, value)| !value.is_null()) {
            // Of lists, the tokens of both files count.
            if let (Some(all), Some(Value::Array(own))) = (value.as_array_mut(), self.settings.get(&key)) {
                let own = own.iter().filter(|token| !all.contains(token)).cloned().collect::<Vec<_>>();
                all.extend(own);
            }
            self.of_map.insert(key.clone());
            self.settings.insert(key, value);
        }
        let added: Option<BTreeMap<String, u32>> = read_json_if_present(&dir.join("added_tokens.json"))?;
        let special: Vec<String> = self.named()?.into_iter().map(|(_, token)| token.content).collect();
        for (content, id) in added.unwrap_or_default() {
            let is_special = special.contains(&content);
            let token = AddedToken { normalized: !is_special, special: is_special, ..AddedToken::special(&content) };
            self.added.insert(id, token);
        }
        Ok(())
    }

    /// A text setting.
    pub(super) fn text(&self, key: &'static str) -> Result<Option<&str>> {
        match self.settings.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.invalid(key, kind(other).into(), "a text")),
        }
    }

    /// A setting that is true or false; `None` if the file is silent.
    pub(super) fn flag(&self, key: &'static str) -> Result<Option<bool>> {
        match self.settings.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(self.invalid(key, kind(other).into(), "true or false")),
        }
    }

    /// Refuses a setting unless it is absent, null, empty, or `harmless`.
    pub(super) fn refuse(&self, key: &'static str, harmless: &Value, supported: &'static str) -> Result<()> {
        match self.settings.get(key) {
            None | Some(Value::Null) => Ok(()),
            Some(value) if value == harmless || value.as_array().is_some_and(Vec::is_empty) => Ok(()),
            Some(value) => Err(Error::UnsupportedSetting {
                path: self.path.clone(),
                setting: key,
                found: value.to_string().chars().take(100).collect(),
                supported,
            }),
        }
    }

    /// The special token of a role, such as `cls_token`.
    pub(super) fn special(&self, role: &'static str, default: &AddedToken) -> Result<AddedToken> {
        match self.settings.get(role) {
            None | Some(Value::Null) => Ok(default.clone()),
            Some(value) => self.token_of(role, value, default),
        }
    }

    /// The special token of a role, if a file names it.
    pub(super) fn named_token(&self, role: &'static str) -> Result<Option<AddedToken>> {
        let value = self.settings.get(role).filter(|value| !value.is_null());
        value.map(|value| self.token_of(role, value, &AddedToken::special(""))).transpose()
    }

    /// The special tokens that the files name, with the keys that name them.
    pub(super) fn named(&self) -> Result<Vec<(&'static str, AddedToken)>> {
        let mut all = Vec::new();
        for name in NAMES {
            all.extend(self.named_token(name)?.map(|token| (name, token)));
        }
        for list in LISTS {
            let tokens: Vec<&Value> = match self.settings.get(list) {
                None | Some(Value::Null) => Vec::new(),
                Some(Value::Array(tokens)) => tokens.iter().collect(),
                Some(Value::Object(tokens)) => tokens.values().collect(),
                Some(other) => return Err(self.invalid(list, kind(other).into(), "a list of tokens")),
            };
            for value in tokens {
                all.push((list, self.token_of(list, value, &AddedToken::special(""))?));
            }
        }
        Ok(all)
    }

    /// The tokens that the files give ids.
    pub(super) fn added(&self) -> impl Iterator<Item = (&u32, &AddedToken)> {
        self.added.iter()
    }

    /// Where the tokens with ids are from.
    pub(super) fn added_source(&self) -> &'static str {
        if self.has_decoder { DECODER } else { "added_tokens.json" }
    }

    /// Whether a key names the token of a role.
    pub(super) fn is_role(&self, key: &str) -> bool {
        NAMES.contains(&key)
    }

    /// Whether `special_tokens_map.json` decides a setting.
    pub(super) fn is_of_map(&self, key: &str) -> bool {
        self.of_map.contains(key)
    }

    /// Whether a setting is there and not an empty list.
    pub(super) fn has_items(&self, key: &str) -> bool {
        let value = self.settings.get(key).filter(|value| !value.is_null());
        value.is_some_and(|value| value.as_array().is_none_or(|items| !items.is_empty()))
    }

    /// All added tokens as `tokenizer.json` has them: those with ids in their order, then `roles` and further special tokens, which
    /// get the next ids if the vocabulary lacks them.
    pub(super) fn added_tokens(
        &self,
        roles: &[AddedToken],
        vocab_size: usize,
        id_of: impl Fn(&str) -> Option<u32>,
    ) -> Result<Value> {
        let mut by_id = self.added.clone();
        let further: Vec<AddedToken> = self.named()?.into_iter().map(|(_, token)| token).collect();
        let mut new = Vec::new();
        for token in roles.iter().chain(&further) {
            let is_known = by_id.values().any(|other| other.content == token.content);
            match id_of(&token.content) {
                _ if is_known => {}
                Some(id) => drop(by_id.insert(id, token.clone())),
                None if new.contains(token) => {}
                None => new.push(token.clone()),
            }
        }
        let next = by_id.last_key_value().map_or(0, |(id, _)| id.saturating_add(1));
        let next = next.max(u32::try_from(vocab_size).unwrap_or(u32::MAX));
        let new = (next..).zip(new);
        Ok(by_id.into_iter().chain(new).map(|(id, token)| token.to_json(id)).collect())
    }

    fn token_of(&self, setting: &'static str, value: &Value, default: &AddedToken) -> Result<AddedToken> {
        if let Some(content) = value.as_str() {
            return Ok(AddedToken { content: content.to_owned(), ..default.clone() });
        }
        let content = value.get("content").and_then(Value::as_str);
        let content = content
            .ok_or_else(|| self.invalid(setting, kind(value).into(), "a text, or an object with \"content\""))?;
        let flag = |key, otherwise| value.get(key).and_then(Value::as_bool).unwrap_or(otherwise);
        Ok(AddedToken {
            content: content.to_owned(),
            single_word: flag("single_word", false),
            lstrip: flag("lstrip", false),
            rstrip: flag("rstrip", false),
            normalized: flag("normalized", default.normalized),
            special: flag("special", default.special),
        })
    }

    fn invalid(&self, setting: &'static str, found: String, expected: &str) -> Error {
        Error::InvalidSetting { path: self.path.clone(), setting, found, expected: expected.into() }
    }
}

/// What a JSON value is, for messages.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
