//! Tagging: texts in, the spans that have labels out.

use serde::Serialize;

use super::other::OtherFields;
use super::text::TextRecord;
use crate::error::Result;
use crate::heads::HeadKind;
use crate::tasks::agreement::{Agreement, Outcome};
use crate::tasks::model::TaskModel;
use crate::tasks::tag::{Entity, TagOptions, TokenClassifier};
use crate::tasks::task::{Task, TaskOutput};

/// A text with its entities, in the order of the text: `{"text": "Ada met Charles.", "entities":
/// [{"label": "PER", "start": 0, "end": 3, "start_char": 0, "end_char": 3, "score": 0.99, "text": "Ada"}, ...]}`, with the fields of the
/// record that the task does not know after the text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TagRow {
    /// The text of the record.
    pub text: String,
    /// The fields of the record that the task does not know.
    #[serde(flatten)]
    pub other: OtherFields,
    /// The entities.
    pub entities: Vec<TaggedEntity>,
}

/// An entity of a [`TagRow`], with its text. `start` and `end` count bytes of UTF-8, `start_char` and `end_char` Unicode scalar
/// values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaggedEntity {
    /// Label, place and score.
    #[serde(flatten)]
    pub entity: Entity,
    /// That part of the text.
    pub text: String,
}

/// [`TokenClassifier`] from records to rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TagTask {
    /// How entities are made.
    pub options: TagOptions,
}

impl Task for TagTask {
    type Record = TextRecord;
    type Row = TagRow;
    type Agreement = Agreement;

    fn name(&self) -> &'static str {
        "tag"
    }

    fn head_kind(&self) -> Option<HeadKind> {
        Some(HeadKind::TokenClassification)
    }

    fn run(&self, model: &TaskModel, records: &[TextRecord]) -> Result<TaskOutput<TagRow>> {
        let head = model.require_head(HeadKind::TokenClassification)?;
        let found = TokenClassifier::new(model.backbone(), head)?.tag(records, &self.options)?;
        let rows = records.iter().zip(found).map(|(TextRecord { text, other }, entities)| {
            let of = |entity: Entity| {
                let part = text.get(entity.start..entity.end).unwrap_or_default().to_owned();
                TaggedEntity { entity, text: part }
            };
            TagRow { text: text.clone(), other: other.clone(), entities: entities.into_iter().map(of).collect() }
        });
        Ok(TaskOutput { rows: rows.collect(), truncated: Vec::new() })
    }

    /// Every entity is a decision.
    fn agreement(&self, rows: &[TagRow], reference: &[TagRow]) -> Agreement {
        let of = |TaggedEntity { entity, .. }: &TaggedEntity| Outcome {
            key: format!("{}:{}:{}", entity.start, entity.end, entity.label),
            score: entity.score,
            decides: true,
        };
        Agreement::of(rows, reference, |row| row.entities.iter().map(of).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::task::Record;

    fn entity(label: &str) -> Entity {
        Entity { label: label.into(), start: 0, end: 4, start_char: 0, end_char: 3, score: 0.5 }
    }

    #[test]
    fn rows_are_written_in_the_order_of_their_fields() {
        let TextRecord { text, other } = TextRecord::parse(r#"{"text": "Zoë.", "id": 7}"#).unwrap();
        let row = TagRow { text, other, entities: vec![TaggedEntity { entity: entity("PER"), text: "Zoë".into() }] };
        let json = serde_json::to_string(&row).unwrap();
        let entity = r#"{"label":"PER","start":0,"end":4,"start_char":0,"end_char":3,"score":0.5,"text":"Zoë"}"#;
        assert_eq!(json, format!(r#"{{"text":"Zoë.","id":7,"entities":[{entity}]}}"#));
    }

    #[test]
    fn an_entity_of_one_side_is_a_decision_that_differs() {
        let row = |labels: &[&str]| {
            let entities = labels.iter().map(|label| TaggedEntity { entity: entity(label), text: "Zoë".into() });
            TagRow { text: "Zoë".into(), other: OtherFields::default(), entities: entities.collect() }
        };
        let found = TagTask::default().agreement(&[row(&["PER", "LOC"])], &[row(&["PER"])]);
        assert_eq!((found.decisions, found.equal, found.largest_difference), (2, 1, 0.0));
    }
}
