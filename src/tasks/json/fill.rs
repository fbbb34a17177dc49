//! Filling in: texts with masks in, candidates for the masks out.

use serde::Serialize;

use super::other::OtherFields;
use super::text::TextRecord;
use crate::error::Result;
use crate::heads::HeadKind;
use crate::tasks::agreement::{Agreement, ranked};
use crate::tasks::fill::{FilledMask, MaskFiller};
use crate::tasks::model::TaskModel;
use crate::tasks::task::{Task, TaskOutput};

/// A text with its masks: `{"text": "The [MASK] sat.", "masks":
/// [{"start": 4, "end": 10, "start_char": 4, "end_char": 10, "candidates": [{"id": 4937, "token": "cat", "score": 0.4, "logit": 9.5,
/// "sequence": "The cat sat."}, ...]}]}`, with the fields of the record that the task does not know after the text. `start` and `end` count
/// bytes of UTF-8, `start_char` and `end_char` Unicode scalar values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FillRow {
    /// The text of the record.
    pub text: String,
    /// The fields of the record that the task does not know.
    #[serde(flatten)]
    pub other: OtherFields,
    /// The masks, in the order of the text.
    pub masks: Vec<FilledMask>,
}

/// [`MaskFiller`] from records to rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FillTask {
    /// Candidates per mask, at least 1.
    pub top_k: usize,
}

impl Default for FillTask {
    fn default() -> FillTask {
        FillTask { top_k: 5 }
    }
}

impl Task for FillTask {
    type Record = TextRecord;
    type Row = FillRow;
    type Agreement = Agreement;

    fn name(&self) -> &'static str {
        "fill"
    }

    fn head_kind(&self) -> Option<HeadKind> {
        Some(HeadKind::MaskedLm)
    }

    fn run(&self, model: &TaskModel, records: &[TextRecord]) -> Result<TaskOutput<FillRow>> {
        let head = model.require_head(HeadKind::MaskedLm)?;
        let found = MaskFiller::new(model.backbone(), head)?.fill(records, self.top_k)?;
        let rows = records.iter().zip(found).map(|(record, masks)| {
            let TextRecord { text, other } = record.clone();
            FillRow { text, other, masks }
        });
        Ok(TaskOutput { rows: rows.collect(), truncated: Vec::new() })
    }

    /// Every mask is a decision.
    fn agreement(&self, rows: &[FillRow], reference: &[FillRow]) -> Agreement {
        let of = |mask: &FilledMask| {
            let start = mask.start;
            ranked(&mask.candidates, |found| (format!("{start}:{}", found.id), found.score))
        };
        Agreement::of(rows, reference, |row| row.masks.iter().flat_map(of).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::fill::Candidate;

    fn mask(start: usize, id: u32) -> FilledMask {
        let candidate = Candidate { id, token: "cat".into(), score: 0.5, logit: 2.5, sequence: "The cat".into() };
        FilledMask { start, end: start + 6, start_char: start, end_char: start + 6, candidates: vec![candidate] }
    }

    #[test]
    fn rows_are_written_in_the_order_of_their_fields() {
        let other = OtherFields::default();
        let json =
            serde_json::to_string(&FillRow { text: "The [MASK]".into(), other, masks: vec![mask(4, 7)] }).unwrap();
        let candidate = r#"{"id":7,"token":"cat","score":0.5,"logit":2.5,"sequence":"The cat"}"#;
        let mask = format!(r#"{{"start":4,"end":10,"start_char":4,"end_char":10,"candidates":[{candidate}]}}"#);
        assert_eq!(json, format!(r#"{{"text":"The [MASK]","masks":[{mask}]}}"#));
    }

    #[test]
    fn every_mask_is_a_decision() {
        let row = |masks| FillRow { text: String::new(), other: OtherFields::default(), masks };
        let found =
            FillTask::default().agreement(&[row(vec![mask(0, 1), mask(9, 1)])], &[row(vec![mask(0, 1), mask(9, 2)])]);
        assert_eq!((found.decisions, found.equal), (2, 1));
    }
}
