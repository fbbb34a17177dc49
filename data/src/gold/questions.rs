//! Questions with contexts and gold answers.

use std::path::Path;

use lacuna::heads::Head;
use lacuna::tasks::{AnswerOptions, AnswerRecord, AnswerRow, AnswerTask};
use serde::Deserialize;

use super::line::read_objects;
use super::traits::{Gold, Score};
use crate::error::Result;
use crate::metrics::answers::Match;

const OBJECT: &str =
    r#"{"question": "...", "context": "...", "answers": ["...", ...]}, without an answer where the context has none"#;

/// Questions with contexts and gold answers.
pub struct Questions {
    records: Vec<AnswerRecord>,
    answers: Vec<Vec<String>>,
    lines: Vec<u64>,
}

#[derive(Deserialize)]
struct Object {
    question: String,
    context: String,
    answers: Vec<String>,
}

impl Gold for Questions {
    type Task = AnswerTask;

    const NOUN: &'static str = "question";

    fn read(path: &Path) -> Result<Questions> {
        let mut questions = Questions { records: vec![], answers: vec![], lines: vec![] };
        for (Object { question, context, answers }, line) in read_objects(path, OBJECT)? {
            questions.records.push(AnswerRecord::new(question, context));
            questions.answers.push(answers);
            questions.lines.push(line);
        }
        Ok(questions)
    }

    fn bind(&mut self, _: &Head) -> Result<()> {
        Ok(())
    }

    /// "No answer" may be an answer if it is the right one of some question.
    fn task(&self) -> AnswerTask {
        let allow_none = self.answers.iter().any(Vec::is_empty);
        AnswerTask { options: AnswerOptions { allow_none, ..AnswerOptions::default() } }
    }

    fn records(&self) -> &[AnswerRecord] {
        &self.records
    }

    fn line(&self, record: usize) -> u64 {
        self.lines.get(record).copied().unwrap_or(0)
    }

    fn scores(&self, rows: &[AnswerRow]) -> Vec<Score> {
        let of = |(gold, row): (&Vec<String>, &AnswerRow)| {
            let best = row.answers.first().and_then(|answer| answer.answer.as_deref());
            Match::of(best.unwrap_or_default(), gold)
        };
        let mean = Match::mean(&self.answers.iter().zip(rows).map(of).collect::<Vec<Match>>());
        vec![("exact_match", mean.exact), ("f1", mean.f1)]
    }
}
