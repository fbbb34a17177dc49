//! Bodies of every wrong kind: each is refused with a message, and the server goes on.

use serde_json::{Value, json};

use crate::client::{raw, request};
use crate::support::{Running, embedder, with_head};

const PATHS: [&str; 14] = [
    "/",
    "/embed",
    "/embed_all",
    "/similarity",
    "/predict",
    "/rerank",
    "/tokenize",
    "/decode",
    "/models/tiny",
    "/v1/embeddings",
    "/v1/rerank",
    "/v2/rerank",
    "/v2/models/tiny/infer",
    "/models/bert-tag",
];

fn values() -> Vec<Vec<u8>> {
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let mut bodies: Vec<Vec<u8>> =
        ["", " ", "{", "[]", "null", "1", "\"a\"", "{}", "{\"inputs\"", "\u{feff}{}", "NaN", "{\"inputs\": NaN}"]
            .iter()
            .map(|text| text.as_bytes().to_vec())
            .collect();
    bodies.extend([b"\xff\xfe".to_vec(), b"\0\0".to_vec(), deep.clone().into_bytes()]);
    bodies.push(format!("{{\"inputs\": {deep}, \"input\": {deep}}}").into_bytes());
    for value in [
        json!(null),
        json!(1),
        json!(-1),
        json!(1e300),
        json!(true),
        json!({}),
        json!([]),
        json!([[]]),
        json!([null]),
        json!([[null]]),
        json!([[["a"]]]),
        json!(["a", 1]),
        json!({ "text": 1 }),
        json!({ "question": [], "context": {} }),
        json!([4294967296_u64]),
        json!([[-1]]),
    ] {
        let body = json!({
            "inputs": value, "input": value, "texts": value, "documents": value, "ids": value, "query": value,
        });
        bodies.push(body.to_string().into_bytes());
    }
    bodies
}

#[test]
fn every_wrong_body_is_refused_with_a_message() {
    let running = Running::new(vec![embedder().0, with_head("bert-tag")]);
    for path in PATHS {
        for body in values() {
            let reply = running.send(path, &[("content-type", "application/json")], &body);
            let shown = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
            assert!((400..500).contains(&reply.status), "{path} {shown}: {} {}", reply.status, reply.text());
            let json = reply.json();
            let message = json.get("error").or(json.get("message")).unwrap_or(&Value::Null);
            let message = message.get("message").unwrap_or(message);
            assert!(message.as_str().is_some_and(|message| !message.is_empty()), "{path} {shown}: {json}");
        }
    }
    assert_eq!(running.get("/health").status, 200);
}

#[test]
fn thresholds_that_are_no_numbers_are_refused() {
    let running = Running::new(vec![embedder().0]);
    for body in [
        &b"{\"inputs\": \"a\", \"dimensions\": NaN}"[..],
        b"{\"inputs\": \"a\", \"dimensions\": 1e999}",
        b"{\"inputs\": \"a\", \"truncate\": \"x\"}",
    ] {
        let reply = running.send("/embed", &[], body);
        assert!([400, 422].contains(&reply.status), "{}", reply.text());
    }
}

#[test]
fn wrong_paths_and_methods_are_named() {
    let running = Running::new(vec![embedder().0]);
    let reply = running.get("/nothing");
    assert_eq!((reply.status, reply.json()["error"].as_str()), (404, Some("found no route /nothing")));
    for path in PATHS {
        let reply = raw(running.address, &request("PUT", path, &[], b""));
        assert_eq!(reply.status, 405, "{path}: {}", reply.text());
        assert!(!reply.json().is_null());
    }
    assert_eq!(raw(running.address, b"no http\r\n\r\n").status, 400);
}
