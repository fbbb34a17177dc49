//! Question answering: questions and contexts in, the parts of the contexts that answer them out.

use lacuna_model::TextInput;
use serde::{Deserialize, Serialize};

use super::parse::{Field, parse};
use crate::error::Result;
use crate::heads::HeadKind;
use crate::tasks::agreement::{Agreement, ranked};
use crate::tasks::answer::{Answer, AnswerOptions, QuestionAnswerer};
use crate::tasks::error::RecordError;
use crate::tasks::model::TaskModel;
use crate::tasks::task::{Record, Task, TaskOutput};

/// A question and the context that may answer it: `{"question": "Where?", "context": "The cat sat on a mat."}`.
///
/// ```
/// use lacuna::tasks::{AnswerRecord, Record};
///
/// let record = AnswerRecord::parse(r#"{"question": "Where?", "context": "The cat sat on a mat."}"#).unwrap();
/// assert_eq!(record.question, "Where?");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
pub struct AnswerRecord {
    /// The question.
    pub question: String,
    /// The context, of any length.
    pub context: String,
}

impl AnswerRecord {
    fn input(&self) -> TextInput<'_> {
        TextInput::pair(&self.question, &self.context)
    }
}

impl Record for AnswerRecord {
    const FORMAT: &'static str = r#"{"question": "...", "context": "..."}"#;

    fn parse(line: &str) -> Result<AnswerRecord, RecordError> {
        parse(line, &[Field::text("question"), Field::text("context")])
    }

    fn inputs(&self) -> Vec<TextInput<'_>> {
        vec![self.input()]
    }
}

/// A question with its answers, the best first:
/// `{"question": "Where?", "answers": [{"answer": "on a mat", "start": 12, "end": 20, "score": 0.87}]}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerRow {
    /// The question of the record.
    pub question: String,
    /// The answers.
    pub answers: Vec<FoundAnswer>,
}

/// An answer of an [`AnswerRow`]. `answer`, `start` and `end` are null where the context holds no answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoundAnswer {
    /// The part of the context.
    pub answer: Option<String>,
    /// Its first byte in the context.
    pub start: Option<usize>,
    /// One past its last byte.
    pub end: Option<usize>,
    /// Probability among all spans of the context.
    pub score: f32,
}

impl FoundAnswer {
    fn new(context: &str, answer: Answer) -> FoundAnswer {
        FoundAnswer {
            answer: answer.span.clone().map(|span| context.get(span).unwrap_or_default().to_owned()),
            start: answer.span.as_ref().map(|span| span.start),
            end: answer.span.as_ref().map(|span| span.end),
            score: answer.score,
        }
    }
}

/// [`QuestionAnswerer`] from records to rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AnswerTask {
    /// How answers are looked for.
    pub options: AnswerOptions,
}

impl Task for AnswerTask {
    type Record = AnswerRecord;
    type Row = AnswerRow;
    type Agreement = Agreement;

    fn name(&self) -> &'static str {
        "answer"
    }

    fn head_kind(&self) -> Option<HeadKind> {
        Some(HeadKind::QuestionAnswering)
    }

    fn run(&self, model: &TaskModel, records: &[AnswerRecord]) -> Result<TaskOutput<AnswerRow>> {
        let head = model.require_head(HeadKind::QuestionAnswering)?;
        let inputs: Vec<TextInput<'_>> = records.iter().map(AnswerRecord::input).collect();
        let found = QuestionAnswerer::new(model.backbone(), head)?.answer(&inputs, &self.options)?;
        let rows = records.iter().zip(found).map(|(AnswerRecord { question, context }, answers)| AnswerRow {
            question: question.clone(),
            answers: answers.into_iter().map(|answer| FoundAnswer::new(context, answer)).collect(),
        });
        Ok(TaskOutput { rows: rows.collect(), truncated: Vec::new() })
    }

    fn agreement(&self, rows: &[AnswerRow], reference: &[AnswerRow]) -> Agreement {
        Agreement::of(rows, reference, |row| {
            ranked(&row.answers, |found| (format!("{:?}:{:?}", found.start, found.end), found.score))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_a_question_and_a_context() {
        let record = AnswerRecord::parse(r#"{"context": "b", "question": "a"}"#).unwrap();
        assert_eq!(record.inputs(), [TextInput::pair("a", "b")]);
        for (line, field) in [
            (r#"{"question": "a"}"#, "context"),
            (r#"{"question": 1, "context": "b"}"#, "question"),
            (r#"{"question": "a", "context": null}"#, "context"),
            (r#"{"question": "a", "context": "b", "id": 1}"#, "id"),
        ] {
            let error = AnswerRecord::parse(line).unwrap_err();
            assert_eq!(error.field(), Some(field), "{line}: {error}");
        }
    }

    #[test]
    fn no_answer_is_null() {
        let answers = vec![
            FoundAnswer::new("on Émile's mat", Answer { span: Some(3..9), score: 0.5 }),
            FoundAnswer::new("on Émile's mat", Answer { span: None, score: 0.25 }),
        ];
        let json = serde_json::to_string(&AnswerRow { question: "a".into(), answers }).unwrap();
        let some = r#"{"answer":"Émile","start":3,"end":9,"score":0.5}"#;
        let none = r#"{"answer":null,"start":null,"end":null,"score":0.25}"#;
        assert_eq!(json, format!(r#"{{"question":"a","answers":[{some},{none}]}}"#));
    }
}
