//! `lacuna answer`: questions and contexts in, the parts of the contexts that answer them out.

use std::sync::Arc;

use lacuna::TextInput;
use lacuna::heads::{Answer, AnswerOptions, Backbone, Head, HeadKind, QuestionAnswerer};
use serde::{Deserialize, Serialize};

use crate::args;
use crate::context::Context;
use crate::error::Result;
use crate::task::{Done, Outcome, Record, Task, TaskArgs, parse_json, ranked};

/// Answer questions with words of a context
///
/// For models of an architecture that ends in ForQuestionAnswering. A context of any length is read in overlapping
/// windows. The score is the probability of the span among all spans of the context.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  echo 'The cat sat on a mat.' | lacuna answer --model roberta-base-squad2 --question 'Where did the cat sit?'
  lacuna answer --model roberta-base-squad2 --jsonl --input questions.jsonl --top-k 3 --allow-none

Input of --jsonl: {\"question\":\"Where?\",\"context\":\"The cat sat on a mat.\"}; otherwise every line is a context of its own.
Output: one line {\"question\":\"Where?\",\"answers\":[{\"answer\":\"on a mat\",\"start\":12,\"end\":20,\"score\":0.87}]} per context.
Positions are bytes of UTF-8; answer, start and end are null where the context holds no answer.")]
pub(crate) struct Args {
    #[command(flatten)]
    task: TaskArgs,

    /// The question; each line of the input is a context
    #[arg(long, value_name = "TEXT", required_unless_present = "jsonl", conflicts_with = "jsonl")]
    question: Option<String>,

    /// Answers per question, none of which overlap
    #[arg(long, value_name = "N", default_value = "1", value_parser = args::at_least_one)]
    top_k: usize,

    /// Longest answer in tokens
    #[arg(long, value_name = "N", default_value = "30", value_parser = args::at_least_one)]
    max_tokens: usize,

    /// Tokens that two windows of a long context share [default: 128, or half of the room if that is less]
    #[arg(long, value_name = "N")]
    overlap: Option<usize>,

    /// "No answer" may be an answer: for models trained on questions without one
    #[arg(long)]
    allow_none: bool,
}

/// A question and where to look.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    question: String,
    context: String,
}

impl Record for Question {
    const EXPECTED: &'static str = r#"{"question": "...", "context": "..."}"#;

    fn parse(line: &str) -> Result<Self, String> {
        parse_json(line)
    }

    fn inputs(&self) -> Vec<TextInput<'_>> {
        vec![self.input()]
    }
}

impl Question {
    fn input(&self) -> TextInput<'_> {
        TextInput::pair(&self.question, &self.context)
    }
}

#[derive(Serialize)]
pub(crate) struct Row {
    question: String,
    answers: Vec<Found>,
}

#[derive(Serialize)]
struct Found {
    answer: Option<String>,
    start: Option<usize>,
    end: Option<usize>,
    score: f32,
}

impl Found {
    fn new(context: &str, answer: Answer) -> Found {
        Found {
            answer: answer.span.clone().map(|span| context.get(span).unwrap_or_default().to_owned()),
            start: answer.span.as_ref().map(|span| span.start),
            end: answer.span.as_ref().map(|span| span.end),
            score: answer.score,
        }
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    args.task.run(context, args)
}

impl Task for Args {
    type Record = Question;
    type Row = Row;

    const KIND: HeadKind = HeadKind::QuestionAnswering;

    fn of_lines(&self, lines: Vec<String>) -> Vec<Question> {
        let question = self.question.clone().unwrap_or_default();
        lines.into_iter().map(|context| Question { question: question.clone(), context }).collect()
    }

    fn work<B: Backbone>(&self, backbone: Arc<B>, head: Head, questions: &[Question]) -> Result<Done<Row>> {
        let options = AnswerOptions {
            top_k: self.top_k,
            max_tokens: self.max_tokens,
            overlap: self.overlap,
            allow_none: self.allow_none,
        };
        let inputs: Vec<TextInput<'_>> = questions.iter().map(Question::input).collect();
        let found = QuestionAnswerer::new(backbone, head)?.answer(&inputs, &options)?;
        let rows = questions.iter().zip(found).map(|(Question { question, context }, answers)| Row {
            question: question.clone(),
            answers: answers.into_iter().map(|answer| Found::new(context, answer)).collect(),
        });
        Ok(Done { rows: rows.collect(), cuts: Vec::new() })
    }

    fn outcomes(row: &Row) -> Vec<Outcome> {
        ranked(&row.answers, |found| (format!("{:?}:{:?}", found.start, found.end), found.score))
    }
}
