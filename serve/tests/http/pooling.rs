//! `/pooling`, as vLLM has it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Running, embedder, floats, with_head};

#[test]
fn an_embedding_model_gives_embeddings_or_hidden_states() {
    let (model, encoder) = embedder();
    let running = Running::new(vec![model]);
    let texts = ["a cat", "the dog sat"];
    let expected = encoder.embed(&texts).unwrap();
    let reply = running.post("/pooling", &json!({ "input": texts, "model": "tiny" })).ok();
    assert_eq!((&reply["object"], &reply["model"]), (&json!("list"), &json!("tiny")));
    let base64 = running.post("/pooling", &json!({ "input": texts, "encoding_format": "base64" })).ok();
    for (i, expected) in expected.iter().enumerate() {
        let pooled = &reply["data"][i];
        assert_eq!((&pooled["index"], &pooled["object"]), (&json!(i), &json!("pooling")));
        assert_eq!(&floats(&pooled["data"]), expected);
        let bytes = STANDARD.decode(base64["data"][i]["data"].as_str().unwrap()).unwrap();
        let values = bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four));
        assert_eq!(&values.collect::<Vec<_>>(), expected);
    }
    let ids = [vec![2, 27, 28, 3], vec![2, 3]];
    let states = encoder.hidden_states(&ids).unwrap();
    let reply = running.post("/pooling", &json!({ "input": ids, "task": "token_embed" })).ok();
    for (i, states) in states.iter().enumerate() {
        let rows = reply["data"][i]["data"].as_array().unwrap();
        assert_eq!(rows.len(), ids[i].len());
        assert_eq!(rows.iter().flat_map(floats).collect::<Vec<_>>(), states.data);
    }
}

#[test]
fn a_classifier_gives_scores_in_the_order_of_its_labels() {
    let model = with_head("bert-classify");
    let labels = model.head().unwrap().labels().to_vec();
    let running = Running::new(vec![model]);
    let text = "the dog sat";
    let named = running.post("/predict", &json!({ "inputs": text })).ok();
    let of = |label: &String| {
        let found = named.as_array().unwrap().iter().find(|one| one["label"] == json!(label));
        found.map(|one| one["score"].clone()).unwrap()
    };
    let reply = running.post("/pooling", &json!({ "input": text })).ok();
    assert_eq!(reply["data"][0]["data"], Value::from(labels.iter().map(of).collect::<Vec<_>>()));
    let raw = running.post("/pooling", &json!({ "input": text, "use_activation": false })).ok();
    assert_ne!(raw["data"], reply["data"]);
}

#[test]
fn what_cannot_be_pooled_is_refused() {
    let running = Running::new(vec![embedder().0]);
    for body in [
        json!({ "input": "a", "task": "classify" }),
        json!({ "input": "a", "task": "plugin" }),
        json!({ "input": "a", "task": "token_embed", "dimensions": 4 }),
        json!({ "input": "a", "truncate_prompt_tokens": 4 }),
        json!({ "input": [] }),
    ] {
        let reply = running.post("/pooling", &body);
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
    }
    running.post("/pooling", &json!({ "input": "cat ".repeat(500), "truncate_prompt_tokens": -1 })).ok();
}
