//! Answers: spans of contexts, in one window or several.

use std::sync::Arc;

use lacuna::errors::ModelError;
use lacuna::tasks::{Answer, AnswerOptions, Backbone, QuestionAnswerer};
use lacuna::{Error, TextInput};
use serde_json::Value;

use super::{compile, load, rows};

const MODELS: [&str; 2] = ["bert-answer", "roberta-answer"];

/// As the fixtures were made.
fn options(allow_none: bool) -> AnswerOptions {
    AnswerOptions { top_k: 4, max_tokens: 5, overlap: Some(7), allow_none }
}

fn answers(name: &str, backbone: Arc<dyn Backbone>) -> Vec<(Value, Vec<Answer>)> {
    let answerer = QuestionAnswerer::new(backbone, load(name).1).unwrap();
    let rows = rows(name);
    let mut all = Vec::new();
    for allow_none in [false, true] {
        let some: Vec<&Value> = rows.iter().filter(|row| row["allow_none"] == allow_none).collect();
        let text = |row: &'_ Value, part: &str| row[part].as_str().unwrap().to_owned();
        let texts: Vec<_> = some.iter().map(|row| (text(row, "question"), text(row, "context"))).collect();
        let inputs: Vec<TextInput<'_>> = texts.iter().map(|(q, c)| TextInput::pair(q, c)).collect();
        let found = answerer.answer(&inputs, &options(allow_none)).unwrap();
        all.extend(some.into_iter().cloned().zip(found));
    }
    assert_eq!(all.len(), 6);
    all
}

#[test]
fn answers_are_the_best_spans_of_all_windows() {
    for name in MODELS {
        let mut windows = 0;
        for (row, found) in answers(name, Arc::new(load(name).0)) {
            windows += row["windows"].as_array().unwrap().len();
            let expected = row["answers"].as_array().unwrap();
            assert_eq!(found.len(), expected.len(), "{name}");
            for (found, expected) in found.iter().zip(expected) {
                let span = found.span.as_ref().map(|span| [span.start, span.end]);
                assert_eq!(serde_json::to_value(span).unwrap(), expected["span"], "{name}");
                let score = expected["score"].as_f64().unwrap() as f32;
                assert!((found.score - score).abs() < 2e-5, "{name}: {} is not {score}", found.score);
            }
        }
        assert!(windows > 7, "{name}: some contexts need several windows");
    }
}

/// Of the best answer, which is clearly the best in one fixture.
#[test]
fn answers_of_the_int8_encoder_are_close() {
    for name in MODELS {
        for (row, found) in answers(name, Arc::new(compile(name, load(name).0))) {
            let context = row["context"].as_str().unwrap();
            for answer in &found {
                let text = answer.span.clone().map(|span| &context[span]);
                assert!(text != Some("") && (0.0..=1.0).contains(&answer.score), "{name}: {answer:?}");
            }
            let Some(best) = row["answers"].as_array().unwrap().first() else { continue };
            if best["score"].as_f64().unwrap() > 0.5 {
                let span = found[0].span.as_ref().map(|span| [span.start, span.end]);
                assert_eq!(serde_json::to_value(span).unwrap(), best["span"], "{name}");
                assert!((f64::from(found[0].score) - best["score"].as_f64().unwrap()).abs() < 0.2, "{name}");
            }
        }
    }
}

/// Whatever the windows, an answer is whole words, and answers do not overlap.
#[test]
fn answers_are_whole_words_that_do_not_overlap() {
    let context = "Zoë met Émile, in Paris - by the river. The dogs were raining cats?! ".repeat(4);
    let is_word = |byte: usize| {
        byte == 0
            || byte == context.len()
            || !context[..byte].ends_with(char::is_alphabetic)
            || !context[byte..].starts_with(char::is_alphabetic)
    };
    for name in MODELS {
        let (model, head) = load(name);
        let answerer = QuestionAnswerer::new(Arc::new(model), head).unwrap();
        let inputs = [TextInput::pair("Who?", &context)];
        for overlap in [None, Some(0), Some(1), Some(20), Some(29)] {
            for max_tokens in [1, 3, 100] {
                let options = AnswerOptions { top_k: 50, max_tokens, overlap, allow_none: true };
                let found = answerer.answer(&inputs, &options).unwrap().remove(0);
                let spans: Vec<_> = found.iter().filter_map(|answer| answer.span.clone()).collect();
                assert_eq!(spans.len() + 1, found.len(), "{name}: one of them is no answer");
                let mut ordered = spans.clone();
                ordered.sort_by_key(|span| span.start);
                assert!(ordered.windows(2).all(|pair| pair[0].end <= pair[1].start), "{name}: {ordered:?}");
                assert!(
                    spans.iter().all(|s| s.start < s.end && is_word(s.start) && is_word(s.end)),
                    "{name}: {spans:?}"
                );
                assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score), "{name}");
            }
        }
    }
}

#[test]
fn impossible_options_and_questions_are_refused() {
    let (model, head) = load("bert-answer");
    let answerer = QuestionAnswerer::new(Arc::new(model), head).unwrap();
    let context = "the cat sat on the mat ".repeat(20);
    let long = "who ".repeat(60);
    let ask = |question, options| {
        answerer.answer(&[TextInput::pair("a", "b"), TextInput::pair(question, &context)], &options)
    };
    let error = ask(&long, AnswerOptions::default()).unwrap_err();
    assert!(matches!(error, Error::QuestionTooLong { input: 1, found: 63, limit: 40 }), "{error}");
    for (option, options) in [
        ("top_k", AnswerOptions { top_k: 0, ..AnswerOptions::default() }),
        ("max_tokens", AnswerOptions { max_tokens: 0, ..AnswerOptions::default() }),
        ("overlap", AnswerOptions { overlap: Some(36), ..AnswerOptions::default() }),
    ] {
        let error = ask("who", options).unwrap_err();
        assert!(matches!(&error, Error::HeadOption { option: found, .. } if *found == option), "{error}");
    }
    assert!(ask("who", AnswerOptions { overlap: Some(35), ..AnswerOptions::default() }).is_ok());
    assert!(matches!(answerer.answer(&[], &AnswerOptions::default()), Err(Error::Model(ModelError::EmptyBatch))));
}
