//! The pipelines of transformers.

use lacuna::TextInput;
use lacuna::tasks::{Aggregation, AnswerOptions, MaskFiller, QuestionAnswerer, TagOptions, TokenClassifier};
use serde_json::{Value, json};

use crate::support::{Running, embedder, number, open, with_head};

#[test]
fn labels_come_in_a_list_for_every_text() {
    let running = Running::new(vec![with_head("bert-classify")]);
    let path = "/models/bert-classify";
    let one = running.post(path, &json!({ "inputs": "The cat sat." })).ok();
    assert_eq!(one[0].as_array().unwrap().len(), 3);
    let best = running.post(path, &json!({ "inputs": ["The cat sat."], "parameters": { "top_k": 1 } })).ok();
    assert_eq!(best, json!([[one[0][0]]]));
    let softmax = json!({ "inputs": "The cat sat.", "parameters": { "function_to_apply": "softmax" } });
    let softmax = running.post(path, &softmax).ok();
    for (a, b) in softmax[0].as_array().unwrap().iter().zip(one[0].as_array().unwrap()) {
        assert!((a["score"].as_f64().unwrap() - b["score"].as_f64().unwrap()).abs() < 1e-5);
    }
    let pair = running.post(path, &json!({ "inputs": { "text": "The cat sat.", "text_pair": "On the mat." } })).ok();
    assert_ne!(pair, one);
    for wrong in [json!({ "top_k": 0 }), json!({ "function_to_apply": "tanh" })] {
        assert_eq!(running.post(path, &json!({ "inputs": "a", "parameters": wrong })).status, 422);
    }
}

#[test]
fn entities_are_those_of_the_library() {
    let text = "Zoë met Émile in Paris, by the old river. ".repeat(8); // several windows
    let (encoder, head) = open("bert-tag");
    let options = TagOptions { aggregation: Aggregation::Simple, ..TagOptions::default() };
    let expected = TokenClassifier::new(encoder, head).unwrap().tag(&[&text], &options).unwrap().remove(0);
    let running = Running::new(vec![with_head("bert-tag")]);
    let characters: Vec<char> = text.chars().collect();
    for path in ["/", "/models/bert-tag"] {
        let found = running.post(path, &json!({ "inputs": text })).ok();
        let found = found.as_array().unwrap();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found["entity_group"], json!(expected.label));
            assert_eq!(found["score"], number(expected.score));
            let range = expected.start_char..expected.end_char;
            assert_eq!((&found["start"], &found["end"]), (&json!(range.start), &json!(range.end)));
            assert_eq!(found["word"], json!(characters[range].iter().collect::<String>()));
        }
    }
    let lists = running.post("/", &json!({ "inputs": ["Zoë", "Paris"] })).ok();
    assert!(lists[0].is_array() && lists.as_array().unwrap().len() == 2);
    let tokens = running.post("/", &json!({ "inputs": text, "parameters": { "aggregation_strategy": "none" } })).ok();
    assert!(tokens[0]["entity"].is_string() && tokens[0].get("entity_group").is_none());
    for wrong in [json!({ "aggregation_strategy": "mean" }), json!({ "stride": 100_000 })] {
        let reply = running.post("/", &json!({ "inputs": text, "parameters": wrong }));
        assert_eq!(reply.status, 422, "{wrong}: {}", reply.text());
    }
}

#[test]
fn answers_are_those_of_the_library() {
    let (question, context) = ("Who met Émile?", "Zoë met Émile in Paris, by the old river.");
    let (encoder, head) = open("bert-answer");
    let answerer = QuestionAnswerer::new(encoder, head).unwrap();
    let options = AnswerOptions { top_k: 2, ..AnswerOptions::default() };
    let expected = answerer.answer(&[TextInput::pair(question, context)], &options).unwrap().remove(0);
    let running = Running::new(vec![with_head("bert-answer")]);
    let inputs = json!({ "question": question, "context": context });
    let one = running.post("/", &json!({ "inputs": inputs })).ok();
    let span = expected[0].span.clone().unwrap();
    assert_eq!(one["answer"], json!(context[span.clone()]));
    assert_eq!(one["start"], json!(context[..span.start].chars().count()));
    assert_eq!(one["score"], number(expected[0].score));
    let two = running.post("/", &json!({ "inputs": inputs, "parameters": { "top_k": 2 } })).ok();
    assert_eq!(two.as_array().unwrap().len(), expected.len());
    let many = running.post("/models/bert-answer", &json!({ "inputs": [inputs, inputs] })).ok();
    assert_eq!(many, json!([one, one]));
    let none = json!({ "inputs": inputs, "parameters": { "handle_impossible_answer": true, "top_k": 50 } });
    let none = running.post("/", &none).ok();
    assert!(none.as_array().unwrap().iter().any(|found| found["answer"] == ""), "{none}");
    let long = json!({ "question": "cat ".repeat(500), "context": context });
    assert_eq!(running.post("/", &json!({ "inputs": long })).status, 422);
    let reply = running.post("/", &json!({ "inputs": { "question": "a" } }));
    assert_eq!(reply.status, 422);
    assert!(
        reply.json()["error"].as_str().unwrap().contains("expected an input that the pipeline"),
        "{}",
        reply.text()
    );
}

#[test]
fn masks_are_filled_as_by_the_library() {
    let text = "The [MASK] sat on the mat.";
    let (encoder, head) = open("bert-fill");
    let expected = MaskFiller::new(encoder, head).unwrap().fill(&[text], 5).unwrap().remove(0).remove(0).candidates;
    let running = Running::new(vec![with_head("bert-fill")]);
    let found = running.post("/", &json!({ "inputs": text })).ok();
    let candidate = |c: &lacuna::tasks::Candidate| json!({ "score": number(c.score), "token": c.id, "token_str": c.token, "sequence": c.sequence });
    assert_eq!(found, Value::Array(expected.iter().map(candidate).collect()));
    let two = running.post("/", &json!({ "inputs": "The [MASK] [MASK].", "parameters": { "top_k": 2 } })).ok();
    assert_eq!((two.as_array().unwrap().len(), two[0].as_array().unwrap().len()), (2, 2));
    for (body, status) in [
        (json!({ "inputs": "no mask" }), 422),
        (json!({ "inputs": [] }), 400),
        (json!({ "inputs": text, "parameters": { "top_k": 0 } }), 422),
        (json!({ "inputs": text, "parameters": { "targets": ["cat"] } }), 422),
    ] {
        let reply = running.post("/", &body);
        assert_eq!(reply.status, status, "{body}: {}", reply.text());
    }
}

#[test]
fn a_name_that_no_model_has_is_404() {
    let running = Running::new(vec![embedder().0]);
    let reply = running.post("/models/other", &json!({ "inputs": "a" }));
    assert_eq!(reply.status, 404);
    assert!(reply.json()["error"].as_str().unwrap().contains("tiny"));
}
