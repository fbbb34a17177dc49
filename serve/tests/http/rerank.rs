//! Labels and ranks, as text-embeddings-inference gives them.

use std::sync::Arc;

use lacuna::TextInput;
use lacuna::tasks::{CrossEncoder, SequenceClassifier};
use serde_json::json;

use crate::support::{Running, embedder, number, open, with_head};

const QUERY: &str = "Who met Zoë?";
const TEXTS: [&str; 3] = ["On the mat, by the old river.", "The cat sat.", "Zoë met Émile in Paris."];

#[test]
fn labels_are_those_of_the_library() {
    let (encoder, head) = open("bert-classify");
    let classifier = SequenceClassifier::new(encoder, head).unwrap();
    let running = Running::new(vec![with_head("bert-classify")]);
    let inputs = [TextInput::new("The cat sat."), TextInput::pair("The cat sat.", "On the mat.")];
    let expected: Vec<Vec<serde_json::Value>> = classifier
        .classify(&inputs)
        .unwrap()
        .iter()
        .map(|labels| {
            labels.iter().map(|found| json!({ "score": number(found.score), "label": found.label })).collect()
        })
        .collect();
    let batch = json!({ "inputs": [["The cat sat."], ["The cat sat.", "On the mat."]] });
    for path in ["/predict", "/"] {
        assert_eq!(running.post(path, &batch).ok(), json!(expected));
        assert_eq!(running.post(path, &json!({ "inputs": "The cat sat." })).ok(), json!(expected[0]));
        assert_eq!(running.post(path, &json!({ "inputs": ["The cat sat.", "On the mat."] })).ok(), json!(expected[1]));
    }
    let raw = running.post("/predict", &json!({ "inputs": "The cat sat.", "raw_scores": true })).ok();
    assert_ne!(raw, json!(expected[0]));
    assert_eq!(running.get("/info").ok()["model_type"]["classifier"]["id2label"]["2"], "good");
}

#[test]
fn ranks_are_those_of_the_library() {
    let (encoder, head) = open("bert-rank");
    let ranker = CrossEncoder::new(encoder, Arc::clone(&head)).unwrap();
    let running = Running::new(vec![with_head("bert-rank")]);
    let expected = ranker.rank(QUERY, &TEXTS).unwrap();
    let body = json!({ "query": QUERY, "texts": TEXTS, "return_text": true });
    for path in ["/rerank", "/", "/models/bert-rank"] {
        let found = running.post(path, &body).ok();
        assert_eq!(found.as_array().unwrap().len(), TEXTS.len());
        for (found, expected) in found.as_array().unwrap().iter().zip(expected.iter()) {
            let text = TEXTS[expected.index];
            assert_eq!(
                *found,
                json!({ "index": expected.index, "text": text, "score": number(expected.score) }),
                "{path}"
            );
        }
    }
    let raw = running.post("/rerank", &json!({ "query": QUERY, "texts": TEXTS, "raw_scores": true })).ok();
    assert_eq!(raw[0], json!({ "index": expected[0].index, "score": number(expected[0].logit) }));
}

#[test]
fn a_model_that_lacks_the_head_is_424() {
    let running = Running::new(vec![embedder().0]);
    for (path, body) in [("/predict", json!({ "inputs": "a" })), ("/rerank", json!({ "query": "a", "texts": ["b"] }))] {
        let reply = running.post(path, &body);
        assert_eq!((reply.status, &reply.json()["error_type"]), (424, &json!("Backend")), "{path}");
    }
    let running = Running::new(vec![with_head("bert-classify")]);
    for (path, body) in [
        ("/embed", json!({ "inputs": "a" })),
        ("/embed_all", json!({ "inputs": "a" })),
        ("/similarity", json!({ "inputs": { "source_sentence": "a", "sentences": ["b"] } })),
        ("/rerank", json!({ "query": "a", "texts": ["b"] })),
    ] {
        assert_eq!(running.post(path, &body).status, 424, "{path}");
    }
}
