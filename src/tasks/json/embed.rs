//! Embeddings: texts in, vectors out, and other fields of the input as they were.

use std::io;

use lacuna_model::{PromptChoice, TextInput};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::parse::{Field, parse};
use crate::error::Result;
use crate::heads::HeadKind;
use crate::tasks::cosines::Cosines;
use crate::tasks::embed::Embedder;
use crate::tasks::error::RecordError;
use crate::tasks::model::TaskModel;
use crate::tasks::task::{Record, Row, Task, TaskOutput};
use crate::tasks::truncated::TruncatedInput;

/// A text to embed: `{"text": "A cat sits.", "id": 7}`. All other fields but `embedding` are kept, byte for byte.
///
/// ```
/// use lacuna::tasks::{EmbedRecord, Record};
///
/// let record = EmbedRecord::parse(r#"{"text": "A cat sits.", "id": 7}"#).unwrap();
/// assert_eq!(record.text(), "A cat sits.");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbedRecord {
    text: String,
    /// The JSON object that it was read from, without its closing brace.
    object: Option<String>,
}

impl EmbedRecord {
    /// Of a text, without other fields.
    pub fn new(text: impl Into<String>) -> EmbedRecord {
        EmbedRecord { text: text.into(), object: None }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Writes the record as one JSON object, its fields in their own spelling, with one more.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_json_with(&self, out: &mut dyn io::Write, field: &str, value: &impl Serialize) -> io::Result<()> {
        match &self.object {
            Some(object) => write!(out, "{object}")?,
            None => {
                write!(out, "{{\"text\":")?;
                serde_json::to_writer(&mut *out, &self.text)?;
            }
        }
        write!(out, ",\"{field}\":")?;
        serde_json::to_writer(&mut *out, value)?;
        write!(out, "}}")
    }
}

impl Record for EmbedRecord {
    const FORMAT: &'static str = r#"{"text": "..."}, with any other fields but "embedding""#;

    fn parse(line: &str) -> Result<EmbedRecord, RecordError> {
        #[derive(Deserialize)]
        struct Object {
            text: String,
            embedding: Option<IgnoredAny>,
        }
        let object = line.trim();
        // serde takes an array for a struct, too.
        if !object.starts_with('{') {
            return Err(RecordError::NotAnObject { reason: "no JSON object".into() });
        }
        match parse::<Object>(object, &[Field::text("text"), Field::anything("embedding")])? {
            Object { embedding: Some(_), .. } => Err(RecordError::ReservedField { field: "embedding" }),
            Object { text, embedding: None } => {
                let fields = object.strip_suffix('}').unwrap_or(object).trim_end();
                Ok(EmbedRecord { text, object: Some(fields.to_owned()) })
            }
        }
    }

    fn inputs(&self) -> Vec<TextInput<'_>> {
        vec![TextInput::new(&self.text)]
    }
}

impl AsRef<str> for EmbedRecord {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

/// A record with its embedding: `{"text": "A cat sits.", "id": 7, "embedding": [0.01, ...]}`.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbedRow {
    /// The record, with its other fields.
    pub record: EmbedRecord,
    /// One value per feature.
    pub embedding: Vec<f32>,
}

impl Row for EmbedRow {
    /// The fields of the record in their own spelling, then `embedding`.
    fn write_json(&self, out: &mut dyn io::Write) -> io::Result<()> {
        self.record.write_json_with(out, "embedding", &self.embedding)
    }
}

impl AsRef<[f32]> for EmbedRow {
    fn as_ref(&self) -> &[f32] {
        &self.embedding
    }
}

/// [`Embedder`] from records to rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EmbedTask {
    /// What is put before every text.
    pub prompt: EmbedPrompt,
}

/// What [`EmbedTask`] puts before every text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum EmbedPrompt {
    /// The model's default prompt, if it has one.
    #[default]
    Default,
    /// Nothing.
    None,
    /// The model's prompt of this name.
    Name(String),
    /// This text.
    Text(String),
}

impl EmbedPrompt {
    /// As the encoder takes it.
    pub fn choice(&self) -> PromptChoice<'_> {
        match self {
            EmbedPrompt::Default => PromptChoice::Default,
            EmbedPrompt::None => PromptChoice::None,
            EmbedPrompt::Name(name) => PromptChoice::Name(name),
            EmbedPrompt::Text(text) => PromptChoice::Text(text),
        }
    }
}

impl Task for EmbedTask {
    type Record = EmbedRecord;
    type Row = EmbedRow;
    type Agreement = Cosines;

    fn name(&self) -> &'static str {
        "embed"
    }

    fn head_kind(&self) -> Option<HeadKind> {
        None
    }

    fn run(&self, model: &TaskModel, records: &[EmbedRecord]) -> Result<TaskOutput<EmbedRow>> {
        let found = Embedder::new(model.backbone()).embed_prompted(self.prompt.choice(), records)?;
        let truncated = TruncatedInput::list("sentence", &found.truncated);
        let rows = records.iter().zip(found.results);
        let rows = rows.map(|(record, embedding)| EmbedRow { record: record.clone(), embedding }).collect();
        Ok(TaskOutput { rows, truncated })
    }

    fn agreement(&self, rows: &[EmbedRow], reference: &[EmbedRow]) -> Cosines {
        Cosines::between(rows, reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(record: EmbedRecord) -> String {
        let mut out = Vec::new();
        EmbedRow { record, embedding: vec![0.5, -1.0] }.write_json(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn other_fields_keep_their_spelling() {
        assert_eq!(written(EmbedRecord::new("a \"b\"")), r#"{"text":"a \"b\"","embedding":[0.5,-1.0]}"#);
        let line = r#"  {"id": 1e3, "text": "A cat.", "more": {"z": [1,2], "a": "\u00e9"} }  "#;
        let record = EmbedRecord::parse(line).unwrap();
        assert_eq!((record.text(), record.inputs()), ("A cat.", vec![TextInput::new("A cat.")]));
        let expected = r#"{"id": 1e3, "text": "A cat.", "more": {"z": [1,2], "a": "\u00e9"},"embedding":[0.5,-1.0]}"#;
        assert_eq!(written(record), expected);
    }

    #[test]
    fn wrong_fields_are_named() {
        let error = |line| EmbedRecord::parse(line).unwrap_err();
        assert!(matches!(error(r#"{"txt": "a"}"#), RecordError::MissingField { field: "text", .. }));
        assert!(matches!(error(r#"{"id": 1, "text": 1}"#), RecordError::FieldType { field: "text", .. }));
        assert!(matches!(error(r#"{"text": "a", "text": "b"}"#), RecordError::RepeatedField { field: "text", .. }));
        assert_eq!(error(r#"{"text": "a", "embedding": []}"#), RecordError::ReservedField { field: "embedding" });
        for line in ["", "a cat", r#"["a"]"#, r#"{"text": "a""#] {
            assert!(matches!(error(line), RecordError::NotAnObject { .. }), "{line}");
        }
    }
}
