//! `lacuna answer`: questions and contexts in, the parts of the contexts that answer them out.

use lacuna::TextInput;
use lacuna::tasks::{AnswerOptions, AnswerRecord, AnswerTask};

use crate::packed::Opened;
use crate::task::{Extra, Reading, TaskArgs, check_overlap};
use lacuna_console::args;
use lacuna_console::context::Context;
use lacuna_console::error::Result;
use lacuna_console::source::exactly_one;

/// Answer questions with words of a context
///
/// For models of an architecture that ends in ForQuestionAnswering. A context of any length is read in overlapping
/// windows. The score is the probability of the span among all spans of the context.
#[derive(clap::Args)]
#[command(group(exactly_one(&[])))]
#[command(after_help = "\
Examples:
  echo 'The cat sat on a mat.' | lacuna answer --model roberta-base-squad2 --question 'Where did the cat sit?'
  lacuna answer --model roberta-base-squad2 --jsonl --input questions.jsonl --top-k 3 --allow-none

Input of --jsonl: {\"question\":\"Where?\",\"context\":\"The cat sat on a mat.\"}; otherwise every line is a context of its own.
Output: one line {\"question\":\"Where?\",\"answers\":[{\"answer\":\"on a mat\",\"start\":12,\"end\":20,
\"start_char\":12,\"end_char\":20,\"score\":0.87,\"logit\":9.1}]} per context. start and end are bytes of UTF-8, start_char and end_char
characters as Python counts them; these and answer are null where the context holds no answer. Other fields of --jsonl are kept.")]
pub(crate) struct Args {
    #[command(flatten)]
    task: TaskArgs,

    /// The question; each line of the input is a context
    #[arg(long, value_name = "TEXT")]
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

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let options = AnswerOptions {
        top_k: args.top_k,
        max_tokens: args.max_tokens,
        overlap: args.overlap,
        allow_none: args.allow_none,
    };
    let question = args.question.clone();
    let reading = match &question {
        Some(question) => Reading::each(&["context"], 1, |texts: Vec<String>| {
            AnswerRecord::new(question.clone(), texts.into_iter().next().unwrap_or_default())
        }),
        None => Reading::each(&["question", "context"], 2, |texts: Vec<String>| {
            let mut texts = texts.into_iter();
            AnswerRecord::new(texts.next().unwrap_or_default(), texts.next().unwrap_or_default())
        }),
    };
    let reading = reading.with_option("--question", question.is_some());
    let room = "the tokens of context that fit beside the question";
    let check = |model: &Opened| {
        check_overlap(model, args.overlap, TextInput::pair(args.question.as_deref().unwrap_or_default(), ""), room)
    };
    let extra = Extra { check: Box::new(check), ..Extra::default() };
    args.task.run(context, &AnswerTask { options }, "answers", reading, extra)
}
