//! Classification: texts or pairs in, labels out.

use lacuna_model::TextInput;
use serde::{Deserialize, Serialize};

use super::other::OtherFields;
use super::parse::{Field, parse_with_others};
use crate::error::Result;
use crate::heads::HeadKind;
use crate::tasks::agreement::{Agreement, ranked};
use crate::tasks::classify::{Classification, SequenceClassifier};
use crate::tasks::error::RecordError;
use crate::tasks::model::TaskModel;
use crate::tasks::task::{Record, Task, TaskOutput};
use crate::tasks::truncated::TruncatedInput;

/// A text or a pair of texts: `{"text": "A cat sits.", "pair": "An animal sits."}`, where `pair` may be left out.
///
/// ```
/// use lacuna::tasks::{ClassifyRecord, Record};
///
/// let record = ClassifyRecord::parse(r#"{"text": "A cat sits.", "pair": "An animal sits."}"#).unwrap();
/// assert_eq!(record.pair.as_deref(), Some("An animal sits."));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassifyRecord {
    /// The text.
    pub text: String,
    /// The second text of a pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<String>,
    /// Fields that the task does not know: they are kept in the row.
    #[serde(flatten)]
    pub other: OtherFields,
}

impl ClassifyRecord {
    /// Of one text.
    pub fn new(text: impl Into<String>) -> ClassifyRecord {
        ClassifyRecord { text: text.into(), pair: None, other: OtherFields::default() }
    }

    /// Of a pair of texts.
    pub fn pair(text: impl Into<String>, pair: impl Into<String>) -> ClassifyRecord {
        ClassifyRecord { pair: Some(pair.into()), ..ClassifyRecord::new(text) }
    }

    fn input(&self) -> TextInput<'_> {
        TextInput { text: &self.text, pair: self.pair.as_deref() }
    }
}

impl Record for ClassifyRecord {
    const FORMAT: &'static str =
        r#"{"text": "..."} or {"text": "...", "pair": "..."}, with any other fields but "labels""#;

    fn parse(line: &str) -> Result<ClassifyRecord, RecordError> {
        #[derive(Deserialize)]
        struct Known {
            text: String,
            pair: Option<String>,
        }
        let fields = [Field::text("text"), Field::optional_text("pair")];
        let (Known { text, pair }, other) = parse_with_others(line, &fields, "labels")?;
        Ok(ClassifyRecord { text, pair, other })
    }

    fn inputs(&self) -> Vec<TextInput<'_>> {
        vec![self.input()]
    }
}

/// A text or a pair with its labels, the best first:
/// `{"text": "A fine film.", "labels": [{"label": "POSITIVE", "score": 0.99, "logit": 4.6}, ...]}`, with the fields of the record that the
/// task does not know before the labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassifyRow {
    /// The text of the record.
    pub text: String,
    /// The second text of the record, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<String>,
    /// The fields of the record that the task does not know.
    #[serde(flatten)]
    pub other: OtherFields,
    /// The labels.
    pub labels: Vec<Classification>,
}

/// [`SequenceClassifier`] from records to rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClassifyTask {
    /// Most labels per text; `None` is all.
    pub top_k: Option<usize>,
}

impl Task for ClassifyTask {
    type Record = ClassifyRecord;
    type Row = ClassifyRow;
    type Agreement = Agreement;

    fn name(&self) -> &'static str {
        "classify"
    }

    fn head_kind(&self) -> Option<HeadKind> {
        Some(HeadKind::SequenceClassification)
    }

    fn run(&self, model: &TaskModel, records: &[ClassifyRecord]) -> Result<TaskOutput<ClassifyRow>> {
        let head = model.require_head(HeadKind::SequenceClassification)?;
        let inputs: Vec<TextInput<'_>> = records.iter().map(ClassifyRecord::input).collect();
        let found = SequenceClassifier::new(model.backbone(), head)?.classify(&inputs)?;
        let truncated = TruncatedInput::list("text", &found.truncated);
        let rows = records.iter().zip(found.results).map(|(record, mut labels)| {
            labels.truncate(self.top_k.unwrap_or(usize::MAX));
            let ClassifyRecord { text, pair, other } = record.clone();
            ClassifyRow { text, pair, other, labels }
        });
        Ok(TaskOutput { rows: rows.collect(), truncated })
    }

    fn agreement(&self, rows: &[ClassifyRow], reference: &[ClassifyRow]) -> Agreement {
        Agreement::of(rows, reference, |row| ranked(&row.labels, |found| (found.label.clone(), found.score)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_texts_or_pairs() {
        assert_eq!(ClassifyRecord::parse(r#"{"text": "a"}"#), Ok(ClassifyRecord::new("a")));
        assert_eq!(ClassifyRecord::parse(r#"{"text": "a", "pair": null}"#), Ok(ClassifyRecord::new("a")));
        let pair = ClassifyRecord::pair("a", "b");
        assert_eq!(ClassifyRecord::parse(r#"{"pair": "b", "text": "a"}"#).as_ref(), Ok(&pair));
        assert_eq!(pair.inputs(), [TextInput::pair("a", "b")]);
        // What a client writes is what is read.
        let other = ClassifyRecord::parse(r#"{"id": [1, "x"], "text": "a", "more": 1e3}"#).unwrap();
        for record in [pair, ClassifyRecord::new("é\n\""), other] {
            assert_eq!(ClassifyRecord::parse(&serde_json::to_string(&record).unwrap()), Ok(record));
        }
    }

    #[test]
    fn the_first_wrong_field_is_named() {
        for (line, field, expected) in [
            (r#"{"pair": "a"}"#, "text", "missing field `text`"),
            (r#"{"text": "a", "labels": []}"#, "labels", "a field \"labels\", which is the result's"),
            (r#"{"text": "a", "par": "b", "pair": 1}"#, "pair", "invalid type: integer `1`, expected a string"),
            (r#"{"text": "a", "pair": 1}"#, "pair", "invalid type: integer `1`, expected a string"),
            (r#"{"text": "a", "text": "b"}"#, "text", "duplicate field `text`"),
        ] {
            let error = ClassifyRecord::parse(line).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{line}: {error}");
            assert_eq!(error.field(), Some(field), "{line}: {error:?}");
        }
        let error = ClassifyRecord::parse(r#"{"text": "a", "text": "b"}"#).unwrap_err();
        assert!(matches!(error, RecordError::RepeatedField { field: "text", .. }));
    }

    #[test]
    fn rows_are_written_in_the_order_of_their_fields() {
        let labels = vec![Classification { label: "good".into(), score: 0.75, logit: 1.5 }];
        let row = ClassifyRow { text: "é".into(), pair: None, other: OtherFields::default(), labels };
        let json = serde_json::to_string(&row).unwrap();
        assert_eq!(json, r#"{"text":"é","labels":[{"label":"good","score":0.75,"logit":1.5}]}"#);
        let row = ClassifyRow { pair: Some("b".into()), ..row };
        assert!(serde_json::to_string(&row).unwrap().starts_with(r#"{"text":"é","pair":"b","labels":"#));
    }
}
