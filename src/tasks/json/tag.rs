//! Tagging: texts in, the spans that have labels out.

use serde::Serialize;

use super::text::TextRecord;
use crate::error::Result;
use crate::heads::HeadKind;
use crate::tasks::agreement::{Agreement, Outcome};
use crate::tasks::model::TaskModel;
use crate::tasks::tag::{Entity, TokenClassifier};
use crate::tasks::task::{Task, TaskOutput};
use crate::tasks::truncated::TruncatedInput;

/// A text with its entities, in the order of the text: `{"text": "Ada met Charles.", "entities":
/// [{"label": "PER", "start": 0, "end": 3, "score": 0.99, "text": "Ada"}, ...]}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TagRow {
    /// The text of the record.
    pub text: String,
    /// The entities.
    pub entities: Vec<TaggedEntity>,
}

/// An entity of a [`TagRow`], with its text. `start` and `end` count bytes of UTF-8.
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
pub struct TagTask;

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
        let found = TokenClassifier::new(model.backbone(), head)?.tag(records)?;
        let truncated = TruncatedInput::list("text", &found.truncated);
        let rows = records.iter().zip(found.results).map(|(TextRecord { text }, entities)| {
            let of = |entity: Entity| {
                let part = text.get(entity.start..entity.end).unwrap_or_default().to_owned();
                TaggedEntity { entity, text: part }
            };
            TagRow { text: text.clone(), entities: entities.into_iter().map(of).collect() }
        });
        Ok(TaskOutput { rows: rows.collect(), truncated })
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

    #[test]
    fn rows_are_written_in_the_order_of_their_fields() {
        let entity = Entity { label: "PER".into(), start: 0, end: 4, score: 0.5 };
        let row = TagRow { text: "Zoë.".into(), entities: vec![TaggedEntity { entity, text: "Zoë".into() }] };
        let json = serde_json::to_string(&row).unwrap();
        let entity = r#"{"label":"PER","start":0,"end":4,"score":0.5,"text":"Zoë"}"#;
        assert_eq!(json, format!(r#"{{"text":"Zoë.","entities":[{entity}]}}"#));
    }

    #[test]
    fn an_entity_of_one_side_is_a_decision_that_differs() {
        let entity = |label: &str| Entity { label: label.into(), start: 0, end: 3, score: 0.5 };
        let row = |labels: &[&str]| {
            let entities = labels.iter().map(|label| TaggedEntity { entity: entity(label), text: "Zoë".into() });
            TagRow { text: "Zoë".into(), entities: entities.collect() }
        };
        let found = TagTask.agreement(&[row(&["PER", "LOC"])], &[row(&["PER"])]);
        assert_eq!((found.decisions, found.equal, found.largest_difference), (2, 1, 0.0));
    }
}
