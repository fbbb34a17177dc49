//! Reranking: a query and passages in, the passages in order out.

use lacuna_model::TextInput;
use serde::{Deserialize, Serialize};

use super::other::OtherFields;
use super::parse::{Field, parse_with_others};
use crate::error::Result;
use crate::heads::{HeadKind, ScoreFunction};
use crate::tasks::agreement::{Agreement, ranked};
use crate::tasks::error::RecordError;
use crate::tasks::model::TaskModel;
use crate::tasks::rank::{CrossEncoder, Ranked};
use crate::tasks::task::{Record, Task, TaskOutput};
use crate::tasks::truncated::TruncatedInput;

/// A query and the passages that are ranked for it: `{"query": "Where?", "passages": ["On a mat.", "At noon."]}`.
///
/// ```
/// use lacuna::tasks::{RankRecord, Record};
///
/// let record = RankRecord::parse(r#"{"query": "Where?", "passages": ["On a mat.", "At noon."]}"#).unwrap();
/// assert_eq!(record.passages.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RankRecord {
    /// The query.
    pub query: String,
    /// The passages; there may be none.
    pub passages: Vec<String>,
    /// Fields that the task does not know: they are kept in the row.
    #[serde(flatten)]
    pub other: OtherFields,
}

impl RankRecord {
    /// Of a query and its passages.
    pub fn new(query: impl Into<String>, passages: Vec<String>) -> RankRecord {
        RankRecord { query: query.into(), passages, other: OtherFields::default() }
    }
}

impl Record for RankRecord {
    const FORMAT: &'static str = r#"{"query": "...", "passages": ["...", ...]}, with any other fields but "ranking""#;

    fn parse(line: &str) -> Result<RankRecord, RecordError> {
        #[derive(Deserialize)]
        struct Known {
            query: String,
            passages: Vec<String>,
        }
        let fields = [Field::text("query"), Field::texts("passages")];
        let (Known { query, passages }, other) = parse_with_others(line, &fields, "ranking")?;
        Ok(RankRecord { query, passages, other })
    }

    fn inputs(&self) -> Vec<TextInput<'_>> {
        self.passages.iter().map(|passage| TextInput::pair(&self.query, passage)).collect()
    }
}

/// A query with its passages, the best first:
/// `{"query": "Where?", "ranking": [{"index": 0, "score": 0.98, "logit": 3.9, "passage": "On a mat."}, ...]}`, with the fields of the record
/// that the task does not know after the query.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RankRow {
    /// The query of the record.
    pub query: String,
    /// The fields of the record that the task does not know.
    #[serde(flatten)]
    pub other: OtherFields,
    /// The passages.
    pub ranking: Vec<RankedPassage>,
}

/// A passage of a [`RankRow`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RankedPassage {
    /// Its number among the passages of the record, from 0.
    pub index: usize,
    /// Larger is better. Null if the logit is not a number.
    pub score: f32,
    /// What the score is made of, and the order follows. Null if it is not a number: such passages are last.
    pub logit: f32,
    /// The passage.
    pub passage: String,
}

/// [`CrossEncoder`] from records to rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RankTask {
    /// Most passages per query; `None` is all.
    pub top_k: Option<usize>,
    /// Whether scores are logits, instead of what the model's own [`ScoreFunction`] makes of them.
    pub raw: bool,
}

impl Task for RankTask {
    type Record = RankRecord;
    type Row = RankRow;
    type Agreement = Agreement;

    fn name(&self) -> &'static str {
        "rank"
    }

    fn head_kind(&self) -> Option<HeadKind> {
        Some(HeadKind::SequenceClassification)
    }

    fn run(&self, model: &TaskModel, records: &[RankRecord]) -> Result<TaskOutput<RankRow>> {
        let head = model.require_head(HeadKind::SequenceClassification)?;
        let ranker = match self.raw {
            false => CrossEncoder::new(model.backbone(), head)?,
            true => CrossEncoder::scoring(model.backbone(), head, ScoreFunction::Identity)?,
        };
        let (mut rows, mut truncated) = (Vec::with_capacity(records.len()), Vec::new());
        for (i, RankRecord { query, passages, other }) in records.iter().enumerate() {
            let mut ranking = Vec::new();
            if !passages.is_empty() {
                let found = ranker.rank(query, passages)?;
                let cut = |cut| TruncatedInput::new(vec![("query", i)], "passage", cut);
                truncated.extend(found.truncated.iter().map(cut));
                let best = found.results.iter().take(self.top_k.unwrap_or(usize::MAX));
                let place = |found: &Ranked| {
                    let passage = passages.get(found.index).cloned().unwrap_or_default();
                    RankedPassage { index: found.index, score: found.score, logit: found.logit, passage }
                };
                ranking = best.map(place).collect();
            }
            rows.push(RankRow { query: query.clone(), other: other.clone(), ranking });
        }
        Ok(TaskOutput { rows, truncated })
    }

    fn agreement(&self, rows: &[RankRow], reference: &[RankRow]) -> Agreement {
        Agreement::of(rows, reference, |row| ranked(&row.ranking, |place| (place.index.to_string(), place.score)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_a_query_and_passages() {
        let record = RankRecord::parse(r#"{"passages": ["b", ""], "query": "a"}"#).unwrap();
        assert_eq!(record.inputs(), [TextInput::pair("a", "b"), TextInput::pair("a", "")]);
        assert_eq!(RankRecord::parse(r#"{"query": "", "passages": []}"#).unwrap().inputs(), []);
        for (line, field) in [
            (r#"{"query": "a"}"#, "passages"),
            (r#"{"passages": []}"#, "query"),
            (r#"{"query": "a", "passages": "b"}"#, "passages"),
            (r#"{"query": "a", "passages": ["b", 2]}"#, "passages"),
            (r#"{"query": null, "passages": ["b"]}"#, "query"),
            (r#"{"query": "a", "passages": ["b"], "ranking": 1}"#, "ranking"),
        ] {
            let error = RankRecord::parse(line).unwrap_err();
            assert_eq!(error.field(), Some(field), "{line}: {error}");
        }
    }

    #[test]
    fn rows_are_written_in_the_order_of_their_fields() {
        let ranking = vec![
            RankedPassage { index: 1, score: 0.5, logit: 0.0, passage: "b".into() },
            RankedPassage { index: 0, score: f32::NAN, logit: f32::NAN, passage: "c".into() },
        ];
        let other = RankRecord::parse(r#"{"id":"\u00e9","query":"a","passages":[]}"#).unwrap().other;
        let json = serde_json::to_string(&RankRow { query: "a".into(), other, ranking }).unwrap();
        let ranking =
            r#"{"index":1,"score":0.5,"logit":0.0,"passage":"b"},{"index":0,"score":null,"logit":null,"passage":"c"}"#;
        assert_eq!(json, format!(r#"{{"query":"a","id":"\u00e9","ranking":[{ranking}]}}"#));
    }
}
