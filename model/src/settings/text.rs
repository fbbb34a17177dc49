//! How texts become tokens, as other files than those of the tokenizer say it: the longest sequence, lower case, and which end is cut.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::length::length;
use super::remark::{Remark, RemarkScope};
use super::transformer::TransformerSettings;
use crate::error::{Error, Result};
use crate::json::read_json_if_present;

/// The settings of a tokenizer of `transformers`.
pub(crate) const TOKENIZER_FILE: &str = "tokenizer_config.json";

/// What the files say about the texts of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextSettings {
    /// The longest sequence in tokens, special tokens included; at most the positions of the model.
    pub(crate) max_length: usize,
    /// The file that gave it; `None` if it is the model's positions because no file says less.
    pub(crate) max_length_file: Option<PathBuf>,
    /// Whether texts become lower case before everything else: `do_lower_case` of `sentence_bert_config.json`.
    pub(crate) lower_case: bool,
    /// Whether the start of a long text is cut instead of its end; `None` leaves it to `tokenizer.json`.
    pub(crate) cut_start: Option<bool>,
    /// `do_lower_case` of `tokenizer_config.json`.
    pub(crate) bert_lower_case: Option<bool>,
    /// `strip_accents`; the inner `None` strips them if letters become lower case.
    pub(crate) strip_accents: Option<Option<bool>>,
    /// `tokenize_chinese_chars`.
    pub(crate) chinese_characters: Option<bool>,
    /// The special tokens that `tokenizer_config.json` names: key and token.
    pub(crate) special_tokens: Vec<(String, String)>,
    pub(crate) remarks: Vec<Remark>,
}

/// The keys of special tokens.
const SPECIAL: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
/// Tokenizers that take their normalizer from `tokenizer.json` alone.
const GENERIC: [&str; 2] = ["PreTrainedTokenizerFast", "TokenizersBackend"];

impl TextSettings {
    /// Reads the settings that stand in the first of `folders` that has them. Of the longest sequence, what the settings of the
    /// Transformer module say counts more than what the tokenizer's say, as in sentence-transformers.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for values of another type, [`Error::UnsupportedSetting`] for what cannot be followed, and those of reading
    /// files.
    pub(crate) fn read(folders: &[&Path], max_position: usize) -> Result<TextSettings> {
        let transformer = TransformerSettings::read(folders)?;
        let mut found = None;
        for folder in folders {
            let path = folder.join(TOKENIZER_FILE);
            if let Some(raw) = read_json_if_present::<Map<String, Value>>(&path)? {
                found = Some((path, raw));
                break;
            }
        }
        let (path, raw) = found.unwrap_or_else(|| (PathBuf::from(TOKENIZER_FILE), Map::new()));
        let own = Settings { path: &path, raw: &raw };
        let changed = Settings { path: &transformer.path, raw: &transformer.tokenizer };
        let either = |key| if changed.get(key).is_some() { changed } else { own };

        let lengths = [
            transformer.call_length.map(|length| (length, &transformer.path)),
            changed.length("model_max_length")?.map(|length| (length, &transformer.path)),
            transformer.max_seq_length.map(|length| (length, &transformer.path)),
            own.length("model_max_length")?.map(|length| (length, &path)),
            own.length("max_len")?.map(|length| (length, &path)), // its name before transformers 4
        ];
        let limit = lengths.into_iter().flatten().next().filter(|(length, _)| *length <= max_position);

        let mut remarks = transformer.remarks;
        if either("padding_side").side("padding_side")? == Some(true) {
            remarks.push(text("padding_side: left changes nothing: no text is padded"));
        }
        let is_generic = own.text("tokenizer_class")?.is_some_and(|class| GENERIC.contains(&class));
        let bert = |key| if is_generic { Ok(None) } else { either(key).switch(key) };
        let strip_accents = match either("strip_accents").raw.get("strip_accents").filter(|_| !is_generic) {
            None => None,
            Some(_) => Some(either("strip_accents").switch("strip_accents")?),
        };
        let mut special_tokens = Vec::new();
        for key in SPECIAL {
            special_tokens.extend(own.token(key)?.map(|token| (key.to_owned(), token)));
        }
        Ok(TextSettings {
            max_length: limit.map_or(max_position, |(length, _)| length),
            max_length_file: limit.map(|(_, path)| path.clone()),
            lower_case: transformer.lower_case,
            cut_start: either("truncation_side").side("truncation_side")?,
            bert_lower_case: bert("do_lower_case")?,
            strip_accents,
            chinese_characters: bert("tokenize_chinese_chars")?,
            special_tokens,
            remarks,
        })
    }
}

fn text(said: &str) -> Remark {
    Remark::new(RemarkScope::Texts, said)
}

/// Settings of a file, or those that it sets for another one.
#[derive(Clone, Copy)]
struct Settings<'a> {
    path: &'a Path,
    raw: &'a Map<String, Value>,
}

impl<'a> Settings<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.raw.get(key).filter(|value| !value.is_null())
    }

    fn text(&self, key: &'static str) -> Result<Option<&'a str>> {
        let wrong = |value: &Value| self.invalid(key, value, "a text");
        self.get(key).map(|value| value.as_str().ok_or_else(|| wrong(value))).transpose()
    }

    fn switch(&self, key: &'static str) -> Result<Option<bool>> {
        let wrong = |value: &Value| self.invalid(key, value, "true or false");
        self.get(key).map(|value| value.as_bool().ok_or_else(|| wrong(value))).transpose()
    }

    /// Whether a side is the left one.
    fn side(&self, key: &'static str) -> Result<Option<bool>> {
        match self.text(key)? {
            None => Ok(None),
            Some("left") => Ok(Some(true)),
            Some("right") => Ok(Some(false)),
            Some(_) => Err(self.invalid(key, self.get(key).unwrap_or(&Value::Null), "\"left\" or \"right\"")),
        }
    }

    /// A number of tokens; `None` also for the huge numbers that mean no limit.
    fn length(&self, key: &'static str) -> Result<Option<usize>> {
        self.get(key).map_or(Ok(None), |value| length(self.path, key, value))
    }

    /// A token as a text, or as an object with the text.
    fn token(&self, key: &'static str) -> Result<Option<String>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(token)) => Ok(Some(token.clone())),
            Some(value) => match value.get("content").and_then(Value::as_str) {
                Some(token) => Ok(Some(token.to_owned())),
                None => Err(self.invalid(key, value, "a token, or an object with its content")),
            },
        }
    }

    fn invalid(&self, setting: &'static str, found: &Value, expected: &str) -> Error {
        let path = self.path.to_owned();
        Error::InvalidSetting { path, setting, found: found.to_string(), expected: expected.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(files: &[(&str, Value)]) -> Result<TextSettings> {
        let dir = tempfile::tempdir().unwrap();
        for (name, json) in files {
            std::fs::write(dir.path().join(name), json.to_string()).unwrap();
        }
        TextSettings::read(&[dir.path()], 512)
    }

    #[test]
    fn the_longest_sequence_stands_in_many_places() {
        const SENTENCE: &str = "sentence_bert_config.json";
        let tokenizer = |length: Value| (TOKENIZER_FILE, json!({"model_max_length": length}));
        for (files, expected) in [
            (vec![], 512),
            (vec![(SENTENCE, json!({"max_seq_length": 256}))], 256),
            (vec![("sentence_roberta_config.json", json!({"max_seq_length": 128}))], 128),
            (vec![("sentence_distilbert_config.json", json!({"max_seq_length": 100}))], 100),
            (vec![("sentence_xlm-roberta_config.json", json!({"max_seq_length": 99}))], 99),
            (vec![(SENTENCE, json!({"max_seq_length": null})), tokenizer(json!(200))], 200),
            (vec![tokenizer(json!(200))], 200),
            (vec![tokenizer(json!(1e30))], 512),
            (vec![tokenizer(json!(4096))], 512),
            (vec![(TOKENIZER_FILE, json!({"max_len": 64}))], 64),
            (vec![(SENTENCE, json!({"max_seq_length": 300})), tokenizer(json!(200))], 300),
            (vec![(SENTENCE, json!({"max_seq_length": 300, "tokenizer_args": {"model_max_length": 20}}))], 20),
            (vec![(SENTENCE, json!({"processor_kwargs": {"model_max_length": 21}})), tokenizer(json!(200))], 21),
            (vec![(SENTENCE, json!({"processing_kwargs": {"text": {"max_length": 22, "truncation": true}}}))], 22),
            (vec![(SENTENCE, json!({"processing_kwargs": {"common": {"max_length": 23}}})), tokenizer(json!(9))], 23),
        ] {
            assert_eq!(read(&files).unwrap().max_length, expected, "{files:?}");
        }
        for wrong in [json!(0), json!(-1), json!(1.5), json!("256"), json!(true)] {
            assert!(read(&[tokenizer(wrong.clone())]).is_err(), "{wrong}");
            assert!(read(&[(SENTENCE, json!({"max_seq_length": wrong}))]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn case_and_sides_are_read() {
        let settings = read(&[
            (
                TOKENIZER_FILE,
                json!({
                    "do_lower_case": false, "strip_accents": null, "tokenize_chinese_chars": true, "truncation_side": "left",
                    "padding_side": "left", "tokenizer_class": "BertTokenizer", "cls_token": "[CLS]",
                    "mask_token": {"content": "[MASK]", "lstrip": true},
                }),
            ),
            ("sentence_bert_config.json", json!({"max_seq_length": 40, "do_lower_case": true})),
        ])
        .unwrap();
        assert_eq!((settings.lower_case, settings.cut_start), (true, Some(true)));
        assert_eq!((settings.bert_lower_case, settings.strip_accents), (Some(false), Some(None)));
        assert_eq!(settings.chinese_characters, Some(true));
        assert_eq!(settings.special_tokens.len(), 2);
        assert_eq!(settings.remarks[0].text, "padding_side: left changes nothing: no text is padded");
        let generic =
            read(&[(TOKENIZER_FILE, json!({"do_lower_case": true, "tokenizer_class": "PreTrainedTokenizerFast"}))]);
        assert_eq!(generic.unwrap().bert_lower_case, None);
        for wrong in [json!({"truncation_side": "up"}), json!({"do_lower_case": "yes"}), json!({"cls_token": 1})] {
            assert!(read(&[(TOKENIZER_FILE, wrong.clone())]).is_err(), "{wrong}");
        }
    }
}
