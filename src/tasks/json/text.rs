//! One text: the record of the tasks that need only a text.

use lacuna_model::TextInput;
use serde::{Deserialize, Serialize};

use super::other::OtherFields;
use super::parse::{Field, parse_with_others};
use crate::tasks::error::RecordError;
use crate::tasks::task::Record;

/// A text to tag, or with masks to fill in: `{"text": "Ada met Charles in London."}`.
///
/// ```
/// use lacuna::tasks::{Record, TextRecord};
///
/// let record = TextRecord::parse(r#"{"text": "Ada met Charles in London."}"#).unwrap();
/// assert_eq!(record.text, "Ada met Charles in London.");
/// let error = TextRecord::parse(r#"{"txt": "Ada"}"#).unwrap_err();
/// assert_eq!(error.field(), Some("text"));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TextRecord {
    /// The text.
    pub text: String,
    /// Fields that the task does not know: they are kept in the row.
    #[serde(flatten)]
    pub other: OtherFields,
}

impl TextRecord {
    /// Of a text.
    pub fn new(text: impl Into<String>) -> TextRecord {
        TextRecord { text: text.into(), other: OtherFields::default() }
    }
}

impl Record for TextRecord {
    const FORMAT: &'static str = r#"{"text": "..."}, with any other fields but "entities" and "masks""#;

    fn parse(line: &str) -> Result<TextRecord, RecordError> {
        #[derive(Deserialize)]
        struct Known {
            text: String,
        }
        let (Known { text }, other) = parse_with_others(line, &[Field::text("text")], "entities")?;
        match other.has("masks") {
            true => Err(RecordError::ReservedField { field: "masks" }),
            false => Ok(TextRecord { text, other }),
        }
    }

    fn inputs(&self) -> Vec<TextInput<'_>> {
        vec![TextInput::new(&self.text)]
    }
}

impl AsRef<str> for TextRecord {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_and_other_fields() {
        assert_eq!(TextRecord::parse(r#"{"text": ""}"#), Ok(TextRecord::new("")));
        let error = |line: &str| TextRecord::parse(line).unwrap_err();
        assert!(matches!(error("{}"), RecordError::MissingField { field: "text", .. }));
        assert!(matches!(error(r#"{"text": ["a"]}"#), RecordError::FieldType { field: "text", .. }));
        for field in ["entities", "masks"] {
            let found = error(&format!(r#"{{"text": "a", "{field}": null}}"#));
            assert_eq!(found, RecordError::ReservedField { field });
        }
        let other = TextRecord::parse(r#"{"text": "a", "pair": "b"}"#).unwrap().other;
        assert_eq!(other.names().collect::<Vec<_>>(), ["pair"]);
        for line in ["", "a cat", "3", "null", r#"["a"]"#, r#"{"text": "a""#, r#"{"text": "a"} b"#] {
            assert!(matches!(error(line), RecordError::NotAnObject { .. }), "{line}");
            assert_eq!(error(line).field(), None);
        }
    }
}
