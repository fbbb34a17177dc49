//! Question answering: for every question and context an answer, or a list of them.

use std::sync::Arc;

use lacuna::tasks::{AnswerOptions, AnswerRecord, AnswerRow, AnswerTask, FoundAnswer, Task, TaskModel};
use serde::{Deserialize, Serialize};

use super::many::{Many, check, top_k};
use crate::error::Result;
use crate::http::Answer;
use crate::model::ServedModel;
use crate::queued;
use crate::server::Server;

#[derive(Debug, Deserialize)]
pub(super) struct AnswerRequest {
    inputs: Many<Question>,
    #[serde(default)]
    parameters: Option<Parameters>,
}

#[derive(Debug, Deserialize)]
struct Question {
    question: String,
    context: String,
}

#[derive(Debug, Default, Deserialize)]
struct Parameters {
    top_k: Option<usize>,
    max_answer_len: Option<usize>,
    doc_stride: Option<usize>,
    #[serde(default)]
    handle_impossible_answer: bool,
}

/// An answer. Places count characters; "no answer" is an empty string at 0.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    score: f32,
    start: usize,
    end: usize,
    answer: String,
}

impl From<FoundAnswer> for Found {
    fn from(found: FoundAnswer) -> Found {
        Found {
            score: found.score,
            start: found.start_char.unwrap_or(0),
            end: found.end_char.unwrap_or(0),
            answer: found.answer.unwrap_or_default(),
        }
    }
}

/// Question answering.
pub(super) async fn answer(
    server: &Arc<Server>,
    model: &Arc<ServedModel>,
    request: AnswerRequest,
) -> Result<Answer<Many<Many<Found>>>> {
    let parameters = request.parameters.unwrap_or_default();
    let options = AnswerOptions {
        top_k: top_k(parameters.top_k, 1)?,
        max_tokens: parameters.max_answer_len.unwrap_or(AnswerOptions::default().max_tokens),
        overlap: parameters.doc_stride,
        allow_none: parameters.handle_impossible_answer,
    };
    let (questions, is_list) = request.inputs.into_list();
    check(questions.iter().map(|question| [&question.question[..], &question.context[..]]), server.limits())?;
    let records: Vec<AnswerRecord> =
        questions.into_iter().map(|question| AnswerRecord::new(question.question, question.context)).collect();
    let head = Arc::clone(model.require_head()?);
    let task = move |backbone| {
        let model = TaskModel::new(backbone).with_head(head);
        Ok(AnswerTask { options }.run(&model, &records)?.rows)
    };
    let (rows, usage) = queued::run(server, model, task).await?;
    // One answer is an object; where more were asked for, they are a list.
    let found = |row: AnswerRow| {
        let answers: Vec<Found> = row.answers.into_iter().map(Found::from).collect();
        Many::of(answers, options.top_k > 1)
    };
    Ok(Answer(Many::of(rows.into_iter().map(found).collect(), is_list), usage))
}
