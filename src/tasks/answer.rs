//! Extractive question answering: which words of a context answer a question.

use std::ops::Range;
use std::sync::Arc;

use lacuna_model::{Error as ModelError, TextInput, TokenOrigin, TokenizedText};

use super::backbone::Backbone;
use super::batch::{limit, locate, run};
use super::order::finite;
use super::windows::{overlap, split};
use crate::error::{Error, Result};
use crate::heads::{Head, HeadKind};

/// How answers are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerOptions {
    /// Answers per question, at least 1. They do not overlap.
    pub top_k: usize,
    /// Longest answer in tokens, at least 1.
    pub max_tokens: usize,
    /// Tokens of context that two neighbouring windows share; `None` is the smaller of 128 and half of the room.
    pub overlap: Option<usize>,
    /// Whether "no answer" is an answer: for models trained on questions without one.
    pub allow_none: bool,
}

impl Default for AnswerOptions {
    fn default() -> Self {
        Self { top_k: 1, max_tokens: 30, overlap: None, allow_none: false }
    }
}

/// A part of the context, or that it holds no answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Bytes of the context, whole words without blanks around them; `None` is "no answer".
    pub span: Option<Range<usize>>,
    /// Probability among all spans of the context.
    pub score: f32,
    /// Sum of the logits of its first and last token. Answers are in the order of this, which keeps an order where scores are all 0 or 1.
    pub logit: f32,
}

/// A question answering model.
#[derive(Debug, Clone)]
pub struct QuestionAnswerer {
    backbone: Arc<dyn Backbone>,
    head: Arc<Head>,
}

/// A window's logits: `[start, end]` per token of the context in it, and of the first token, which stands for "no answer".
struct Window {
    context: Vec<[f32; 2]>,
    none: f32,
}

impl QuestionAnswerer {
    /// Puts a head onto its encoder.
    ///
    /// # Errors
    /// [`ModelError::WrongHead`](crate::errors::ModelError::WrongHead) if the head is not one for question answering.
    pub fn new(backbone: Arc<dyn Backbone>, head: impl Into<Arc<Head>>) -> Result<Self> {
        let head = head.into();
        head.require(HeadKind::QuestionAnswering)?;
        match head.weights().outputs() {
            2 => Ok(Self { backbone, head }),
            n => Err(head.wrong(format!("2 outputs, start and end, instead of {n}")).into()),
        }
    }

    /// The best answers for every question and context, the best first.
    ///
    /// A context that is too long is read in overlapping windows. With `s` and `e` the logits of start and end, a span from token `i`
    /// to `j` has `s[i] + e[j]`, in the window where that is largest; "no answer" has the sum of the first token's logits, in the
    /// window where that is smallest. Scores are the softmax over all spans of up to [`AnswerOptions::max_tokens`], and "no answer" if
    /// it is allowed. Spans are widened to whole words, those of [`TokenOrigin::word`]; the next answer is the best span that overlaps none before it. A context
    /// without a token has no answers but that.
    ///
    /// # Errors
    /// [`Error::QuestionTooLong`]; [`Error::NotFinite`]; [`Error::HeadOption`] for an option out of its bounds, or an overlap as wide as the window; those of
    /// [`SequenceClassifier::classify`](super::SequenceClassifier::classify).
    pub fn answer(&self, inputs: &[TextInput<'_>], options: &AnswerOptions) -> Result<Vec<Vec<Answer>>> {
        options.check()?;
        let backbone = &*self.backbone;
        let all = locate(backbone, inputs)?;
        if all.is_empty() {
            return Err(ModelError::EmptyBatch.into());
        }
        let (mut windows, mut places) = (Vec::new(), Vec::with_capacity(all.len()));
        for (input, tokens) in all.iter().enumerate() {
            let ranges = ranges(tokens, limit(backbone), input, options)?;
            windows.extend(ranges.iter().map(|range| tokens.select(|part, i| part == 0 || range.contains(&i))));
            places.push(ranges);
        }
        let logits = run(
            backbone,
            &self.head,
            &windows,
            |_| None,
            |tokens, logits| {
                let pair = |row: usize| [logits.data[2 * row], logits.data[2 * row + 1]];
                let in_context = |origin: &Option<TokenOrigin>| origin.as_ref().is_some_and(|origin| origin.part == 1);
                let rows = tokens.origins.iter().enumerate().filter(|(_, origin)| in_context(origin));
                let none = pair(0);
                Ok(Window { context: rows.map(|(row, _)| pair(row)).collect(), none: none[0] + none[1] })
            },
        )?;
        let mut logits = logits.into_iter();
        let answers = all.iter().zip(places).enumerate().map(|(input, (tokens, ranges))| {
            let windows: Vec<(Range<usize>, Window)> = ranges.into_iter().zip(logits.by_ref()).collect();
            for (_, window) in &windows {
                finite(input, &[window.none])?;
                finite(input, window.context.as_flattened())?;
            }
            Ok(best(tokens, &windows, options))
        });
        answers.collect()
    }
}

impl AnswerOptions {
    fn check(&self) -> Result<()> {
        let zero = [("top_k", self.top_k), ("max_tokens", self.max_tokens)].into_iter().find(|(_, value)| *value == 0);
        match zero {
            None => Ok(()),
            Some((option, found)) => Err(Error::HeadOption { option, found, expected: "at least 1".into() }),
        }
    }
}

/// Which tokens of the context each window holds.
fn ranges(tokens: &TokenizedText, limit: usize, input: usize, options: &AnswerOptions) -> Result<Vec<Range<usize>>> {
    let context = tokens.tokens_of(1);
    let found = tokens.ids.len() - context;
    let room = limit.saturating_sub(found);
    if room == 0 {
        return Err(Error::QuestionTooLong { input, found, limit });
    }
    if context <= room {
        return Ok(split(context, room, 0));
    }
    let of = || format!("the tokens of context that fit beside the question of input {input}");
    Ok(split(context, room, overlap(options.overlap, room, of)?))
}

/// Softmax over the spans of all windows, then one answer after the other.
fn best(tokens: &TokenizedText, windows: &[(Range<usize>, Window)], options: &AnswerOptions) -> Vec<Answer> {
    let origins: Vec<&TokenOrigin> = tokens.origins.iter().flatten().filter(|origin| origin.part == 1).collect();
    // No span is longer than its window, whatever the option says.
    let widest = windows.iter().map(|(_, window)| window.context.len()).max().unwrap_or(0);
    let longest = options.max_tokens.min(widest);
    // A blank can be a token, of no bytes: no answer starts or ends there.
    // A mark of a word's beginning stands for its word.
    let is_text: Vec<bool> = (0..origins.len())
        .map(|i| {
            let (first, last) = whole_words(&origins, i, i);
            origins[first].bytes.start < origins[last].bytes.end
        })
        .collect();
    // spans[i * longest + n]: from token i, n + 1 tokens.
    let mut spans = vec![f32::NEG_INFINITY; origins.len() * longest];
    for (range, window) in windows {
        for (i, [start, _]) in window.context.iter().enumerate() {
            for (n, [_, end]) in window.context[i..].iter().take(longest).enumerate() {
                let first = range.start + i;
                if is_text[first] && is_text[first + n] {
                    let span = &mut spans[first * longest + n];
                    *span = span.max(start + end);
                }
            }
        }
    }
    let none = windows.iter().map(|(_, window)| window.none).fold(f32::INFINITY, f32::min);
    let mut none = options.allow_none.then_some(none);
    let largest = spans.iter().copied().chain(none).fold(f32::NEG_INFINITY, f32::max);
    let weight = |logit: f32| f64::from(logit - largest).exp();
    let sum: f64 = spans.iter().copied().chain(none).map(weight).sum();

    let mut answers = Vec::new();
    while answers.len() < options.top_k {
        let place = spans.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
        let place = place.map(|(place, logit)| (place, *logit)).filter(|(_, logit)| *logit > f32::NEG_INFINITY);
        let score = |logit| (weight(logit) / sum) as f32;
        match (none, place) {
            (Some(logit), place) if place.is_none_or(|(_, best)| logit > best) => {
                answers.push(Answer { span: None, score: score(logit), logit });
                none = None;
            }
            (_, Some((place, logit))) => {
                let (start, end) = whole_words(&origins, place / longest, place / longest + place % longest);
                answers.push(Answer {
                    span: Some(origins[start].bytes.start..origins[end].bytes.end),
                    score: score(logit),
                    logit,
                });
                for i in start.saturating_sub(longest - 1)..=end {
                    spans[i * longest + start.saturating_sub(i)..(i + 1) * longest].fill(f32::NEG_INFINITY);
                }
            }
            (_, None) => break,
        }
    }
    answers
}

/// The first token of the word of token `start`, and the last of the word of token `end`.
fn whole_words(origins: &[&TokenOrigin], start: usize, end: usize) -> (usize, usize) {
    let same = |a: usize, b: usize| origins[a].word.is_some() && origins[a].word == origins[b].word;
    let first = (1..=start).rev().find(|&i| !same(i - 1, start)).unwrap_or(0);
    let last = (end..origins.len() - 1).find(|&i| !same(i + 1, end)).unwrap_or(origins.len() - 1);
    (first, last)
}
