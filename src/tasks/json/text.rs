//! One text: the record of the tasks that need only a text.

use lacuna_model::TextInput;
use serde::{Deserialize, Serialize};

use super::parse::{Field, parse};
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
/// assert_eq!(error.field(), Some("txt"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
pub struct TextRecord {
    /// The text.
    pub text: String,
}

impl TextRecord {
    /// Of a text.
    pub fn new(text: impl Into<String>) -> TextRecord {
        TextRecord { text: text.into() }
    }
}

impl Record for TextRecord {
    const FORMAT: &'static str = r#"{"text": "..."}"#;

    fn parse(line: &str) -> Result<TextRecord, RecordError> {
        parse(line, &[Field::text("text")])
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
    fn a_text_and_nothing_else() {
        assert_eq!(TextRecord::parse(r#"{"text": ""}"#), Ok(TextRecord::new("")));
        let error = |line| TextRecord::parse(line).unwrap_err();
        assert!(matches!(error("{}"), RecordError::MissingField { field: "text", .. }));
        assert!(matches!(error(r#"{"text": ["a"]}"#), RecordError::FieldType { field: "text", .. }));
        assert!(
            matches!(error(r#"{"text": "a", "pair": "b"}"#), RecordError::UnknownField { field, .. } if field == "pair")
        );
        for line in ["", "a cat", "3", "null", r#"{"text": "a""#, r#"{"text": "a"} b"#] {
            assert!(matches!(error(line), RecordError::NotAnObject { .. }), "{line}");
            assert_eq!(error(line).field(), None);
        }
    }
}
