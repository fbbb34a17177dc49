//! Question answering: questions and contexts in, the parts of the contexts that answer them out.

use lacuna_model::TextInput;
use serde::{Deserialize, Serialize};

use super::other::OtherFields;
use super::parse::{Field, parse_with_others};
use crate::error::Result;
use crate::heads::HeadKind;
use crate::tasks::agreement::{Agreement, ranked};
use crate::tasks::answer::{Answer, AnswerOptions, QuestionAnswerer};
use crate::tasks::chars::Chars;
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
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerRecord {
    /// The question.
    pub question: String,
    /// The context, of any length.
    pub context: String,
    /// Fields that the task does not know: they are kept in the row.
    #[serde(flatten)]
    pub other: OtherFields,
}

impl AnswerRecord {
    /// Of a question and a context.
    pub fn new(question: impl Into<String>, context: impl Into<String>) -> AnswerRecord {
        AnswerRecord { question: question.into(), context: context.into(), other: OtherFields::default() }
    }

    fn input(&self) -> TextInput<'_> {
        TextInput::pair(&self.question, &self.context)
    }
}

impl Record for AnswerRecord {
    const FORMAT: &'static str = r#"{"question": "...", "context": "..."}, with any other fields but "answers""#;

    fn parse(line: &str) -> Result<AnswerRecord, RecordError> {
        #[derive(Deserialize)]
        struct Known {
            question: String,
            context: String,
        }
        let fields = [Field::text("question"), Field::text("context")];
        let (Known { question, context }, other) = parse_with_others(line, &fields, "answers")?;
        Ok(AnswerRecord { question, context, other })
    }

    fn inputs(&self) -> Vec<TextInput<'_>> {
        vec![self.input()]
    }
}

/// A question with its answers, the best first:
/// `{"question": "Where?", "answers": [{"answer": "on a mat", "start": 12, "end": 20, "start_char": 12, "end_char": 20, "score": 0.87,
/// "logit": 9.1}]}`, with the fields of the record that the task does not know after the question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerRow {
    /// The question of the record.
    pub question: String,
    /// The fields of the record that the task does not know.
    #[serde(flatten)]
    pub other: OtherFields,
    /// The answers.
    pub answers: Vec<FoundAnswer>,
}

/// An answer of an [`AnswerRow`]. `answer` and the positions are null where the context holds no answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoundAnswer {
    /// The part of the context.
    pub answer: Option<String>,
    /// Its first byte in the context.
    pub start: Option<usize>,
    /// One past its last byte.
    pub end: Option<usize>,
    /// Its first character in the context: characters are Unicode scalar values, as Python counts.
    pub start_char: Option<usize>,
    /// One past its last character.
    pub end_char: Option<usize>,
    /// Probability among all spans of the context.
    pub score: f32,
    /// Sum of the logits of its first and last token; answers are in the order of this.
    pub logit: f32,
}

impl FoundAnswer {
    fn new(context: &str, answer: Answer) -> FoundAnswer {
        let chars = answer.span.as_ref().map(|span| Chars::new(context).of(span));
        FoundAnswer {
            answer: answer.span.clone().map(|span| context.get(span).unwrap_or_default().to_owned()),
            start: answer.span.as_ref().map(|span| span.start),
            end: answer.span.as_ref().map(|span| span.end),
            start_char: chars.as_ref().map(|chars| chars.start),
            end_char: chars.as_ref().map(|chars| chars.end),
            score: answer.score,
            logit: answer.logit,
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
        let rows = records.iter().zip(found).map(|(record, answers)| AnswerRow {
            question: record.question.clone(),
            other: record.other.clone(),
            answers: answers.into_iter().map(|answer| FoundAnswer::new(&record.context, answer)).collect(),
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
            (r#"{"question": "a", "context": "b", "answers": []}"#, "answers"),
        ] {
            let error = AnswerRecord::parse(line).unwrap_err();
            assert_eq!(error.field(), Some(field), "{line}: {error}");
        }
    }

    #[test]
    fn no_answer_is_null() {
        let answers = vec![
            FoundAnswer::new("on Émile's mat", Answer { span: Some(3..9), score: 0.5, logit: 2.5 }),
            FoundAnswer::new("on Émile's mat", Answer { span: None, score: 0.25, logit: 1.5 }),
        ];
        let record = AnswerRecord::parse(r#"{"id": 1e3, "question": "a", "context": "b"}"#).unwrap();
        let json = serde_json::to_string(&AnswerRow { question: "a".into(), other: record.other, answers }).unwrap();
        let some = r#"{"answer":"Émile","start":3,"end":9,"start_char":3,"end_char":8,"score":0.5,"logit":2.5}"#;
        let none =
            r#"{"answer":null,"start":null,"end":null,"start_char":null,"end_char":null,"score":0.25,"logit":1.5}"#;
        assert_eq!(json, format!(r#"{{"question":"a","id":1e3,"answers":[{some},{none}]}}"#));
    }
}
