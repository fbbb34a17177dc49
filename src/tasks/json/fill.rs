//! Filling in: texts with masks in, candidates for the masks out.

use serde::Serialize;

use super::text::TextRecord;
use crate::error::Result;
use crate::heads::HeadKind;
use crate::tasks::agreement::{Agreement, ranked};
use crate::tasks::fill::{FilledMask, MaskFiller};
use crate::tasks::model::TaskModel;
use crate::tasks::task::{Task, TaskOutput};
use crate::tasks::truncated::TruncatedInput;

/// A text with its masks: `{"text": "The [MASK] sat.", "masks":
/// [{"start": 4, "end": 10, "candidates": [{"id": 4937, "token": "cat", "score": 0.4}, ...]}]}`. `start` and `end` count bytes of UTF-8.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FillRow {
    /// The text of the record.
    pub text: String,
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
        let truncated = TruncatedInput::list("text", &found.truncated);
        let rows =
            records.iter().zip(found.results).map(|(record, masks)| FillRow { text: record.text.clone(), masks });
        Ok(TaskOutput { rows: rows.collect(), truncated })
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

    #[test]
    fn rows_are_written_in_the_order_of_their_fields() {
        let candidates = vec![Candidate { id: 7, token: "cat".into(), score: 0.5 }];
        let masks = vec![FilledMask { start: 4, end: 10, candidates }];
        let json = serde_json::to_string(&FillRow { text: "The [MASK]".into(), masks }).unwrap();
        let mask = r#"{"start":4,"end":10,"candidates":[{"id":7,"token":"cat","score":0.5}]}"#;
        assert_eq!(json, format!(r#"{{"text":"The [MASK]","masks":[{mask}]}}"#));
    }

    #[test]
    fn every_mask_is_a_decision() {
        let mask = |start, id| {
            let candidates = vec![Candidate { id, token: "cat".into(), score: 0.5 }];
            FilledMask { start, end: start + 6, candidates }
        };
        let row = |masks| FillRow { text: String::new(), masks };
        let found =
            FillTask::default().agreement(&[row(vec![mask(0, 1), mask(9, 1)])], &[row(vec![mask(0, 1), mask(9, 2)])]);
        assert_eq!((found.decisions, found.equal), (2, 1));
    }
}
