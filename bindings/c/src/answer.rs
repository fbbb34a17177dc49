//! Answers to questions, which are parts of contexts.

use lacuna::TextInput;
use lacuna::heads::HeadKind;
use lacuna::tasks::{AnswerOptions, QuestionAnswerer};

use crate::args::{self, LacunaText, Options};
use crate::call::run_with_head;
use crate::cancel::LacunaCancel;
use crate::encoder::LacunaEncoder;
use crate::status::{Failed, LacunaStatus, guard};

/// A part of a context, or that the context holds no answer.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct LacunaAnswer {
    /// Index of the question.
    pub question: usize,
    /// First byte in the context.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Probability among all spans of the context.
    pub score: f32,
    /// Sum of the logits of the first and the last token.
    pub logit: f32,
    /// 1 if the answer is that the context holds none; `start` and `end` are 0 then.
    pub is_none: u32,
}

/// The answers to some questions.
#[derive(Debug)]
pub struct LacunaAnswers {
    answers: Vec<LacunaAnswer>,
}

/// Options of `lacuna_answer`. Set `size` to sizeof(LacunaAnswerOptions) and the rest to zero for the defaults.
#[repr(C)]
#[derive(Debug)]
pub struct LacunaAnswerOptions {
    /// sizeof(LacunaAnswerOptions).
    pub size: usize,
    /// Stops the call from another thread; NULL if nothing does.
    pub cancel: *const LacunaCancel,
    /// Most answers per question, which do not overlap; 0 for 1.
    pub top_k: usize,
    /// Longest answer in tokens; 0 for 30.
    pub max_tokens: usize,
    /// Tokens that two neighbouring windows of a long context share; 0 for the smaller of 128 and half of the room.
    pub overlap: usize,
    /// 1 if "no answer" may be an answer: for models that were trained on questions without one.
    pub allow_none: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)` with its size at the beginning; numbers and pointers only.
unsafe impl Options for LacunaAnswerOptions {
    const NAME: &'static str = "LacunaAnswerOptions";
    const FIRST: usize = size_of::<Self>();
}

/// Finds answers to every question in the context of the same index, the best first. The model needs a head for question answering. A long context is read
/// in windows. `*answers` are the answers, or NULL after an error. Free them with `lacuna_answers_free`.
///
/// `options` may be NULL. Threads: any number of calls at the same time.
///
/// # Safety
/// Pointers are NULL, or point to what the names say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_answer(
    encoder: *const LacunaEncoder,
    questions: *const LacunaText,
    contexts: *const LacunaText,
    count: usize,
    options: *const LacunaAnswerOptions,
    answers: *mut *mut LacunaAnswers,
) -> LacunaStatus {
    guard(|| {
        // SAFETY: as the caller says.
        let (place, questions, contexts, options) = unsafe {
            let place = args::out("answers", answers)?;
            let questions = args::texts("questions", questions, count)?;
            let contexts = args::texts("contexts", contexts, count)?;
            (place, questions, contexts, args::options(options)?)
        };
        if options.reserved != 0 {
            return Err(Failed::option("reserved", &options.reserved.to_string(), "0"));
        }
        let inputs: Vec<TextInput<'_>> =
            questions.iter().zip(&contexts).map(|(question, context)| TextInput::pair(question, context)).collect();
        let default = AnswerOptions::default();
        let or = |value: usize, default: usize| if value == 0 { default } else { value };
        let library = AnswerOptions {
            top_k: or(options.top_k, default.top_k),
            max_tokens: or(options.max_tokens, default.max_tokens),
            overlap: (options.overlap > 0).then_some(options.overlap),
            allow_none: args::flag("allow_none", options.allow_none)?,
        };
        // SAFETY: as the caller says.
        let found = unsafe {
            run_with_head(encoder, options.cancel, HeadKind::QuestionAnswering, |session, head| {
                Ok(QuestionAnswerer::new(session, head)?.answer(&inputs, &library)?)
            })
        }?;
        let all = found.iter().enumerate().flat_map(|(question, all)| all.iter().map(move |one| (question, one)));
        let answer = |(question, answer): (usize, &lacuna::tasks::Answer)| {
            let span = answer.span.clone().unwrap_or_default();
            LacunaAnswer {
                question,
                start: span.start,
                end: span.end,
                score: answer.score,
                logit: answer.logit,
                is_none: answer.span.is_none().into(),
            }
        };
        *place = Box::into_raw(Box::new(LacunaAnswers { answers: all.map(answer).collect() }));
        Ok(())
    })
}

/// The answers as an array, which lives as long as they do, and their number in `*count`. NULL and 0 for NULL. NULL if `count` is NULL.
///
/// Threads: any, at any time.
///
/// # Safety
/// `answers` is NULL, or was not freed; `count` is NULL, or a place for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_answers_get(answers: *const LacunaAnswers, count: *mut usize) -> *const LacunaAnswer {
    // SAFETY: as the caller says.
    let answers = unsafe { answers.as_ref() }.map(|answers| &answers.answers[..]);
    // SAFETY: likewise.
    unsafe { args::list(answers, count) }
}

/// Frees answers. Does nothing for NULL.
///
/// Threads: any, once, when nothing uses them.
///
/// # Safety
/// `answers` is NULL, or was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_answers_free(answers: *mut LacunaAnswers) {
    if !answers.is_null() {
        // SAFETY: they came from `Box::into_raw`.
        drop(unsafe { Box::from_raw(answers) });
    }
}
