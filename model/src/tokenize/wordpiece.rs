//! `vocab.txt`: the WordPiece tokenizer of BERT, DistilBERT and ELECTRA.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value, json};

use super::special::{AddedToken, TokenFiles};
use crate::error::{Error, Result};

/// A tokenizer that was made of a vocabulary.
pub(super) struct Made {
    /// What its `tokenizer.json` would be.
    pub(super) json: Value,
    /// What was assumed because the files are silent.
    pub(super) notes: Vec<String>,
}

/// The same as the `tokenizer.json` that transformers makes of a `vocab.txt`.
pub(super) fn wordpiece(path: &Path, text: &str, files: &TokenFiles) -> Result<Made> {
    let vocab = vocabulary(text);
    let id_of = |token: &str| vocab.get(token).copied();
    files.refuse("do_basic_tokenize", &true.into(), "true")?;
    files.refuse("never_split", &Value::Null, "an empty list: name added tokens in added_tokens.json instead")?;
    let mut notes = Vec::new();
    let lower_case = match files.flag("do_lower_case")? {
        Some(lower_case) => lower_case,
        None => {
            let silent = if files.is_there { "tokenizer_config.json does not say" } else { "no tokenizer_config.json" };
            notes.push(format!("lower case: yes (assumed: {silent})"));
            true
        }
    };
    let role = |role, default| files.special(role, &AddedToken::special(default));
    let roles = [
        role("unk_token", "[UNK]")?,
        role("sep_token", "[SEP]")?,
        role("pad_token", "[PAD]")?,
        role("cls_token", "[CLS]")?,
        role("mask_token", "[MASK]")?,
    ];
    let [unk, sep, _, cls, _] = &roles;
    let needed = |token: &AddedToken| {
        id_of(&token.content).ok_or_else(|| Error::InvalidSetting {
            path: path.to_owned(),
            setting: "vocabulary",
            found: format!("no token {}", token.content),
            expected: "it: texts need it".into(),
        })
    };
    needed(unk)?;
    let (cls_id, sep_id) = (needed(cls)?, needed(sep)?);
    let token = |token: &AddedToken, kind: u32| json!({ "SpecialToken": { "id": token.content, "type_id": kind } });
    let text = |id: &str, kind: u32| json!({ "Sequence": { "id": id, "type_id": kind } });
    let entry = |token: &AddedToken, id: u32| json!({ "id": token.content, "ids": [id], "tokens": [token.content] });
    let json = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": files.added_tokens(&roles, vocab.len(), id_of)?,
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": true,
            "handle_chinese_chars": files.flag("tokenize_chinese_chars")?.unwrap_or(true),
            "strip_accents": files.flag("strip_accents")?,
            "lowercase": lower_case,
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [token(cls, 0), text("A", 0), token(sep, 0)],
            "pair": [token(cls, 0), text("A", 0), token(sep, 0), text("B", 1), token(sep, 1)],
            "special_tokens": { cls.content.as_str(): entry(cls, cls_id), sep.content.as_str(): entry(sep, sep_id) },
        },
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": {
            "type": "WordPiece",
            "unk_token": unk.content,
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocab,
        },
    });
    Ok(Made { json, notes })
}

/// One token per line; its id is the number of the line, counted from 0. Of equal lines the last one counts.
fn vocabulary(text: &str) -> HashMap<&str, u32> {
    let lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    lines.map(|line| line.strip_suffix('\r').unwrap_or(line)).zip(0..).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_tokens() {
        let ids = |text| {
            let mut all: Vec<(String, u32)> =
                vocabulary(text).into_iter().map(|(token, id)| (token.to_owned(), id)).collect();
            all.sort_by_key(|(_, id)| *id);
            all
        };
        let expected = |tokens: &[(&str, u32)]| tokens.iter().map(|(t, id)| ((*t).to_owned(), *id)).collect::<Vec<_>>();
        assert_eq!(ids("a\nb\n"), expected(&[("a", 0), ("b", 1)]));
        assert_eq!(ids("a\r\nb\r\n"), expected(&[("a", 0), ("b", 1)]));
        assert_eq!(ids("a\n\nb\u{2028}c \n"), expected(&[("a", 0), ("", 1), ("b\u{2028}c ", 2)]));
        assert_eq!(ids("a\nb\na"), expected(&[("b", 1), ("a", 2)]));
    }
}
