//! `vocab.json` and `merges.txt`: the byte-level BPE tokenizer of RoBERTa.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value, json};

use super::special::{AddedToken, TokenFiles};
use crate::error::{Error, Result};

/// The same as the `tokenizer.json` that transformers makes of the two files.
pub(super) fn byte_level(
    [vocab_path, merges_path]: [&Path; 2],
    vocab: HashMap<String, u32>,
    merges: &str,
    files: &TokenFiles,
) -> Result<Value> {
    let id_of = |token: &str| vocab.get(token).copied();
    files.refuse("errors", &"replace".into(), "\"replace\"")?;
    let role = |role, default| files.special(role, &AddedToken::special(default));
    // The blank before a mask belongs to it, as to any word.
    let mask = files.special("mask_token", &AddedToken { lstrip: true, ..AddedToken::special("<mask>") })?;
    let roles = [
        role("bos_token", "<s>")?,
        role("eos_token", "</s>")?,
        role("unk_token", "<unk>")?,
        role("sep_token", "</s>")?,
        role("pad_token", "<pad>")?,
        role("cls_token", "<s>")?,
        mask,
    ];
    let [_, _, _, sep, _, cls, _] = &roles;
    let needed = |token: &AddedToken| {
        id_of(&token.content).ok_or_else(|| Error::InvalidSetting {
            path: vocab_path.to_owned(),
            setting: "vocabulary",
            found: format!("no token {}", token.content),
            expected: "it: texts need it".into(),
        })
    };
    let (cls_id, sep_id) = (needed(cls)?, needed(sep)?);
    let prefix_space = files.flag("add_prefix_space")?.unwrap_or(false);
    let merges = merges_of(merges_path, merges)?;
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": files.added_tokens(&roles, vocab.len(), id_of)?,
        "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": prefix_space, "trim_offsets": true, "use_regex": true },
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": [sep.content, sep_id],
            "cls": [cls.content, cls_id],
            "trim_offsets": files.flag("trim_offsets")?.unwrap_or(true),
            "add_prefix_space": prefix_space,
        },
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": false,
            "vocab": vocab,
            "merges": merges,
        },
    }))
}

/// One merge per line: two parts and a blank between them. Lines that begin with `#version` are headers.
fn merges_of<'a>(path: &Path, text: &'a str) -> Result<Vec<[&'a str; 2]>> {
    let lines = text.trim_end_matches(['\n', '\r']).split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let numbered = lines.zip(1..).filter(|(line, _): &(&str, usize)| !line.starts_with("#version"));
    let numbered = numbered.filter(|(line, number)| !(line.is_empty() && *number == 1));
    numbered
        .map(|(line, number)| match line.split(' ').collect::<Vec<_>>()[..] {
            [first, second] if !first.is_empty() && !second.is_empty() => Ok([first, second]),
            _ => Err(Error::InvalidSetting {
                path: path.to_owned(),
                setting: "merges",
                found: format!("{:?} in line {number}", line.chars().take(60).collect::<String>()),
                expected: "two parts and a blank between them".into(),
            }),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_merges() {
        let merges = |text| merges_of(Path::new("merges.txt"), text);
        assert_eq!(merges("#version: 0.2\na b\nab c\n").unwrap(), [["a", "b"], ["ab", "c"]]);
        assert_eq!(merges("#version: 0.2\r\na b\r\n\r\n").unwrap(), [["a", "b"]]);
        assert_eq!(merges("# #\n").unwrap(), [["#", "#"]]);
        assert!(merges("").unwrap().is_empty());
        for (text, line) in [("a b\nab\n", 2), ("a b c\n", 1), ("a b\n\nc d", 2), ("a \n", 1)] {
            let error = merges(text).unwrap_err().to_string();
            assert!(error.contains(&format!("in line {line}")), "{error}");
        }
    }
}
