//! The routes of OpenAI.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::{Running, embedder, floats, with_head};

#[test]
fn embeddings_are_numbers_or_base64() {
    let (model, encoder) = embedder();
    let running = Running::new(vec![model]);
    let texts = ["a cat", "the dog sat"];
    let expected = encoder.embed(&texts).unwrap();
    let reply = running.post("/v1/embeddings", &json!({ "input": texts, "model": "tiny", "user": "x" })).ok();
    assert_eq!((&reply["object"], &reply["model"]), (&json!("list"), &json!("tiny")));
    assert_eq!(reply["usage"]["prompt_tokens"], reply["usage"]["total_tokens"]);
    let base64 = running.post("/v1/embeddings", &json!({ "input": texts, "encoding_format": "base64" })).ok();
    for (i, expected) in expected.iter().enumerate() {
        let embedding = &reply["data"][i];
        assert_eq!((&embedding["index"], &embedding["object"]), (&json!(i), &json!("embedding")));
        assert_eq!(&floats(&embedding["embedding"]), expected);
        let bytes = STANDARD.decode(base64["data"][i]["embedding"].as_str().unwrap()).unwrap();
        let values = bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four));
        assert_eq!(&values.collect::<Vec<_>>(), expected);
    }
    let short = running.post("/v1/embeddings", &json!({ "input": "a cat", "dimensions": 5 })).ok();
    assert_eq!(floats(&short["data"][0]["embedding"]).len(), 5);
}

#[test]
fn token_ids_are_used_as_they_are() {
    let (model, encoder) = embedder();
    let running = Running::new(vec![model]);
    let ids = [vec![2, 27, 28, 3], vec![2, 3]];
    let expected = encoder.embed_ids(&ids).unwrap();
    let many = running.post("/v1/embeddings", &json!({ "input": ids })).ok();
    let one = running.post("/v1/embeddings", &json!({ "input": ids[0] })).ok();
    assert_eq!(floats(&many["data"][1]["embedding"]), expected[1]);
    assert_eq!(floats(&one["data"][0]["embedding"]), expected[0]);
    assert_eq!(many["usage"]["prompt_tokens"], json!(6));
}

#[test]
fn models_are_listed_and_chosen_by_name() {
    let running = Running::new(vec![embedder().0, with_head("bert-fill")]);
    let list = running.get("/v1/models").ok();
    let names: Vec<&str> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["tiny", "bert-fill"]);
    let extra = |index: usize, field: &str| &list["data"][index][field];
    assert_eq!((extra(0, "pipeline_tag"), extra(0, "mask_token")), (&json!("feature-extraction"), &json!(null)));
    assert_eq!((extra(1, "pipeline_tag"), extra(1, "mask_token")), (&json!("fill-mask"), &json!("[MASK]")));
    assert_eq!(running.get("/v1/models/bert-fill").ok()["object"], "model");
    let with = |model: &str| running.post("/v1/embeddings", &json!({ "input": "a cat", "model": model }));
    assert_ne!(with("tiny").ok()["data"], with("bert-fill").ok()["data"]);
    let reply = with("other");
    assert_eq!(reply.status, 404);
    let error = &reply.json()["error"];
    assert_eq!(error["code"], "model_not_found");
    assert!(error["message"].as_str().unwrap().contains("tiny, bert-fill"), "{error}");
    assert_eq!(running.get("/v1/models/other").status, 404);
}

#[test]
fn what_is_wrong_with_a_request_is_400() {
    let running = Running::new(vec![embedder().0]);
    for body in [
        json!({ "input": [] }),
        json!({}),
        json!({ "input": "a", "dimensions": 0 }),
        json!({ "input": "a", "dimensions": 1_000_000 }),
        json!({ "input": "a", "dimensions": -1 }),
        json!({ "input": "a", "encoding_format": "int8" }),
        json!({ "input": [9999] }),
        json!({ "input": [[]] }),
        json!({ "input": "cat ".repeat(500) }),
    ] {
        let reply = running.post("/v1/embeddings", &body);
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
        assert_eq!(reply.json()["error"]["type"], "invalid_request_error", "{body}");
        assert!(!reply.json()["error"]["message"].as_str().unwrap().is_empty());
    }
}
