//! Settings beside a `tokenizer.json`: followed, named as without effect, or refused.
//!
//! As the fast tokenizers of transformers treat them: tokens that other files name become added tokens if `tokenizer.json` has none of that
//! text, and `add_prefix_space` replaces that of byte-level BPE. The model, the splitting and the special tokens around a text are those of
//! `tokenizer.json`, whatever the other files say. A setting that says the same as `tokenizer.json` is passed over.

use serde_json::{Map, Value, json};

use super::class::contradiction;
use super::special::{AddedToken, TokenFiles};
use crate::error::Result;

/// How many tokens a note names.
const NAMED: usize = 3;

/// What came of the settings.
#[derive(Default)]
pub(super) struct Applied {
    /// Whether the definition was changed.
    pub(super) is_changed: bool,
    /// What a user should know.
    pub(super) notes: Vec<String>,
}

/// Puts the settings of other files into the definition of a tokenizer.
///
/// # Errors
/// [`Error::UnsupportedSetting`](crate::Error::UnsupportedSetting), [`Error::InvalidSetting`](crate::Error::InvalidSetting).
pub(super) fn apply(json: &mut Value, files: &TokenFiles) -> Result<Applied> {
    files.refuse("split_special_tokens", &false.into(), "false: special tokens in texts stay whole")?;
    files.refuse("add_special_tokens", &true.into(), "true: the model needs its special tokens around a text")?;
    let mut notes = without_effect(json, files)?;
    let has_space = prefix_space(json, files)?;
    let tokens = add_tokens(json, files)?;
    let has_mask = name_mask(json, files)?;
    notes.extend(tokens.notes);
    Ok(Applied { is_changed: has_space || tokens.is_changed || has_mask, notes })
}

/// Settings that change nothing, because `tokenizer.json` decides.
fn without_effect(json: &Value, files: &TokenFiles) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    if files.flag("do_basic_tokenize")? == Some(false) {
        notes.push("do_basic_tokenize: false changes nothing: tokenizer.json says how texts are split".to_owned());
    }
    if files.has_items("never_split") {
        notes.push("never_split changes nothing: tokenizer.json says how texts are split".to_owned());
    }
    let kind = json.pointer("/model/type").and_then(Value::as_str);
    let class = files.text("tokenizer_class")?;
    notes.extend(class.zip(kind).and_then(|(class, kind)| contradiction(class, kind)));
    let around = around(json.get("post_processor").unwrap_or(&Value::Null));
    for role in ["cls_token", "sep_token"] {
        let named = files.named_token(role)?.filter(|token| !around.is_empty() && !around.contains(&token.content));
        notes.extend(named.map(|token| {
            let around = around.join(", ");
            format!("{role}: {:?} is not put around texts: tokenizer.json has {around} there", token.content)
        }));
    }
    if let (Some(token), Some(unknown)) =
        (files.named_token("unk_token")?, json.pointer("/model/unk_token").and_then(Value::as_str))
        && token.content != unknown
    {
        notes.push(format!("unk_token: {:?} changes nothing: tokenizer.json has {unknown:?}", token.content));
    }
    Ok(notes)
}

/// The special tokens that a post-processor puts around texts.
fn around(processor: &Value) -> Vec<String> {
    if let Some(parts) = processor.get("processors").and_then(Value::as_array) {
        return parts.iter().flat_map(around).collect();
    }
    let template = processor.get("special_tokens").and_then(Value::as_object).into_iter().flat_map(Map::keys).cloned();
    let pairs = ["cls", "sep"].map(|key| processor.get(key)?.get(0)?.as_str().map(str::to_owned));
    template.chain(pairs.into_iter().flatten()).collect()
}

/// Puts `add_prefix_space` into byte-level BPE. Gives whether that changes it.
fn prefix_space(json: &mut Value, files: &TokenFiles) -> Result<bool> {
    const KEY: &str = "add_prefix_space";
    let Some(wanted) = files.flag(KEY)? else { return Ok(false) };
    let is_other = |part: &Value| part.get(KEY).and_then(Value::as_bool).is_some_and(|found| found != wanted);
    let splitter = json.get("pre_tokenizer");
    let is_bytes = splitter.is_some_and(|part| part.get("type").is_some_and(|kind| kind == "ByteLevel"));
    let is_changed = is_bytes && splitter.is_some_and(is_other);
    if is_changed {
        for part in ["pre_tokenizer", "post_processor"] {
            let part = json.get_mut(part).filter(|part| is_other(part)).and_then(Value::as_object_mut);
            part.map(|part| part.insert(KEY.into(), wanted.into()));
        }
    }
    Ok(is_changed)
}

/// The added tokens of a definition.
fn added(json: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let tokens = json.get("added_tokens").and_then(Value::as_array).into_iter().flatten();
    tokens.filter_map(|token| Some((token.get("content")?.as_str()?, token)))
}

/// The number of a token in the vocabulary of a model, and the size of that.
fn place(json: &Value, token: &str) -> (Option<u32>, usize) {
    match json.pointer("/model/vocab") {
        Some(Value::Object(vocab)) => {
            (vocab.get(token).and_then(Value::as_u64).and_then(|id| id.try_into().ok()), vocab.len())
        }
        Some(Value::Array(pieces)) => {
            let is_it = |piece: &Value| piece.get(0).and_then(Value::as_str) == Some(token);
            (pieces.iter().position(is_it).and_then(|id| id.try_into().ok()), pieces.len())
        }
        _ => (None, 0),
    }
}

/// Adds the tokens of other files that the definition lacks.
fn add_tokens(json: &mut Value, files: &TokenFiles) -> Result<Applied> {
    let mut notes = Vec::new();
    let mut new: Vec<(&str, u32, AddedToken)> = Vec::new();
    let known = |content: &str| added(json).find(|(found, _)| *found == content).map(|(_, token)| token);
    for (id, token) in files.added() {
        match known(&token.content).and_then(|known| known.get("id")) {
            Some(found) if found.as_u64() != Some((*id).into()) => {
                notes.push(format!("{:?} is {found} in tokenizer.json, not {id} as in other files", token.content));
            }
            Some(_) => {}
            None => new.push((files.added_source(), *id, token.clone())),
        }
    }
    for (key, token) in files.named()? {
        if known(&token.content).is_some() || new.iter().any(|(.., other)| other.content == token.content) {
            continue;
        }
        let is_role = files.is_role(key);
        match place(json, &token.content) {
            (Some(id), _) => new.push((key, id, token)),
            // Its row of the table is not known: a remark says that it is not used.
            (None, _) if is_role => notes.extend(files.is_of_map(key).then(|| {
                format!("{key}: {:?} of special_tokens_map.json is not a token, and is not used", token.content)
            })),
            (None, size) => {
                let ids = added(json).filter_map(|(_, token)| token.get("id")?.as_u64()?.try_into().ok());
                let last = ids.chain(new.iter().map(|(_, id, _)| *id)).max();
                let next = last.map_or(0, |last: u32| last.saturating_add(1)).max(size.try_into().unwrap_or(u32::MAX));
                new.push((key, next, token));
            }
        }
    }
    if new.is_empty() {
        return Ok(Applied { is_changed: false, notes });
    }
    let named: Vec<String> =
        new.iter().take(NAMED).map(|(key, _, token)| format!("{:?} ({key})", token.content)).collect();
    let more = if new.len() > NAMED { format!(" and {} more", new.len() - NAMED) } else { String::new() };
    let named = named.join(", ");
    notes.push(format!("tokenizer: added to the tokens of tokenizer.json, as in transformers: {named}{more}"));
    if let Some(file) = json.as_object_mut() {
        let tokens = file.entry("added_tokens").or_insert_with(|| json!([]));
        if let Some(tokens) = tokens.as_array_mut() {
            tokens.extend(new.into_iter().map(|(_, id, token)| token.to_json(id)));
        }
    }
    Ok(Applied { is_changed: true, notes })
}

/// The field of an added token that says what it is for. Other readers of the file pass over it.
const ROLE: &str = "role";
/// Its value for the mask.
const MASK: &str = "mask_token";

/// Whether a token is called "mask" in any brackets.
pub(super) fn is_called_mask(content: &str) -> bool {
    let name: String = content.chars().filter(|c| c.is_alphanumeric()).collect();
    name.eq_ignore_ascii_case("mask")
}

/// Marks the mask that `tokenizer_config.json` names, unless the definition tells by itself which token it is. Gives whether that changes it.
pub(super) fn name_mask(json: &mut Value, files: &TokenFiles) -> Result<bool> {
    let Some(mask) = files.named_token(MASK)? else { return Ok(false) };
    let is_special = |token: &Value| token.get("special").and_then(Value::as_bool).unwrap_or_default();
    let called = added(json).filter(|(content, token)| is_special(token) && is_called_mask(content));
    if called.map(|(content, _)| content).eq([&mask.content[..]]) {
        return Ok(false);
    }
    let tokens = json.get_mut("added_tokens").and_then(Value::as_array_mut);
    let found = tokens.into_iter().flatten().find(|token| token.get("content").is_some_and(|it| *it == mask.content));
    let found = found.and_then(Value::as_object_mut);
    Ok(found.map(|token| token.insert(ROLE.into(), MASK.into())).is_some())
}

/// The mask that [`name_mask`] marked.
pub(super) fn named_mask(json: &Value) -> Option<String> {
    let mut tokens = added(json);
    let is_it = |token: &Value| token.get(ROLE).is_some_and(|role| role == MASK);
    tokens.find(|(_, token)| is_it(token)).map(|(content, _)| content.to_owned())
}
