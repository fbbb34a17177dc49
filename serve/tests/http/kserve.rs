//! The Open Inference Protocol.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::{Value, json};

use crate::client::Reply;
use crate::support::{Running, embedder, floats, with_head};

const TEXTS: [&str; 2] = ["a cat", "the dog sat"];
const INFER: &str = "/v2/models/tiny/infer";

fn tensor(data: &Value, shape: &[usize]) -> Value {
    json!({ "name": "text", "datatype": "BYTES", "shape": shape, "data": data })
}

#[test]
fn tensors_of_texts_become_tensors_of_floats() {
    let (model, encoder) = embedder();
    let expected = encoder.embed(&TEXTS).unwrap();
    let running = Running::new(vec![model]);
    let body = json!({ "id": "7", "inputs": [tensor(&json!(TEXTS), &[2])] });
    let found = running.post(INFER, &body).ok();
    assert_eq!((&found["id"], &found["model_name"]), (&json!("7"), &json!("tiny")));
    let output = &found["outputs"][0];
    assert_eq!(output["shape"], json!([2, encoder.features()]));
    assert_eq!((&output["name"], &output["datatype"]), (&json!("embedding"), &json!("FP32")));
    assert_eq!(floats(&output["data"]), expected.concat());
    // Lists of lists are the same values.
    let nested = running.post(INFER, &json!({ "inputs": [tensor(&json!([[TEXTS[0]], [TEXTS[1]]]), &[2, 1])] })).ok();
    assert_eq!(nested["outputs"], found["outputs"]);
    // Packed bodies.
    let text = body.to_string();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let mut deflate = ZlibEncoder::new(Vec::new(), Compression::fast());
    deflate.write_all(text.as_bytes()).unwrap();
    for (encoding, bytes) in [("gzip", gzip.finish().unwrap()), ("deflate", deflate.finish().unwrap())] {
        assert_eq!(running.send(INFER, &[("content-encoding", encoding)], &bytes).ok(), found, "{encoding}");
    }
    let reply = running.send(INFER, &[("content-encoding", "gzip")], b"no gzip");
    assert_eq!(reply.status, 400, "{}", reply.text());
    let reply = running.send(INFER, &[("content-encoding", "other")], text.as_bytes());
    let message = json!("found an unknown content encoding; expected one of: gzip,deflate");
    assert_eq!((reply.status, &reply.json()["error"]), (415, &message));
}

/// JSON, and bytes behind it.
fn send_binary(running: &Running, json: &Value, binary: &[u8]) -> Reply {
    let json = json.to_string();
    let length = json.len().to_string();
    running.send(INFER, &[("inference-header-content-length", &length)], &[json.as_bytes(), binary].concat())
}

#[test]
fn values_may_be_bytes_behind_the_json() {
    let (model, encoder) = embedder();
    let expected = encoder.embed(&TEXTS).unwrap();
    let running = Running::new(vec![model]);
    let element = |text: &&str| [&(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
    let binary: Vec<u8> = TEXTS.iter().flat_map(element).collect();
    let input = |size: usize| json!({ "name": "text", "datatype": "BYTES", "shape": [2], "parameters": { "binary_data_size": size } });
    let outputs = json!([{ "name": "embedding", "parameters": { "binary_data": true } }]);
    let wanted = json!({ "inputs": [input(binary.len())], "outputs": outputs });
    let all = json!({ "inputs": [input(binary.len())], "parameters": { "binary_data_output": true } });
    for body in [wanted, all] {
        let reply = send_binary(&running, &body, &binary);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let length: usize = reply.header("inference-header-content-length").unwrap().parse().unwrap();
        let described: Value = serde_json::from_slice(&reply.body[..length]).unwrap();
        let values = reply.body[length..].as_chunks::<4>().0;
        assert_eq!(described["outputs"][0]["parameters"]["binary_data_size"], json!(4 * values.len()));
        let values: Vec<f32> = values.iter().map(|four| f32::from_le_bytes(*four)).collect();
        assert_eq!(values, expected.concat());
    }
    for (size, bytes) in
        [(binary.len() + 1, &binary[..]), (3, &binary), (usize::MAX, &binary), (4, b"\xff\xff\xff\xff")]
    {
        assert_eq!(send_binary(&running, &json!({ "inputs": [input(size)] }), bytes).status, 400, "{size}");
    }
    for length in ["x", "-1", "99999999", ""] {
        let reply = running.send(INFER, &[("inference-header-content-length", length)], b"{}");
        assert_eq!(reply.status, 400, "{length}: {}", reply.text());
    }
}

#[test]
fn models_say_what_they_take_and_are_ready() {
    let running =
        Running::new(vec![embedder().0, with_head("bert-rank"), with_head("bert-classify"), with_head("bert-tag")]);
    assert_eq!(running.get("/v2").ok()["extensions"], json!(["binary_tensor_data"]));
    assert_eq!(running.get("/v2/health/live").ok(), json!({ "live": true }));
    assert_eq!(running.get("/v2/health/ready").ok(), json!({ "ready": true }));
    assert_eq!(running.get("/v2/models/tiny/ready").ok()["ready"], true);
    assert_eq!(running.get("/v2/models/tiny").ok()["outputs"][0]["name"], "embedding");
    let labels =
        running.post("/v2/models/bert-classify/infer", &json!({ "inputs": [tensor(&json!(["a"]), &[1])] })).ok();
    assert_eq!(labels["outputs"][0]["shape"], json!([1, 3]));
    assert_eq!(labels["outputs"][1]["datatype"], "BYTES");
    let query = json!({ "name": "query", "datatype": "BYTES", "shape": [1], "data": ["who"] });
    let body = json!({ "inputs": [query, tensor(&json!(["a", "b"]), &[2])] });
    assert_eq!(running.post("/v2/models/bert-rank/infer", &body).ok()["outputs"][0]["shape"], json!([2]));
    for (path, status) in [("/v2/models/other", 404), ("/v2/models/other/ready", 404)] {
        assert_eq!(running.get(path).status, status, "{path}");
    }
    for (path, body, status) in [
        ("/v2/models/other/infer", json!({ "inputs": [] }), 404),
        (INFER, json!({ "inputs": [] }), 400),
        (INFER, json!({ "inputs": [tensor(&json!([]), &[0])] }), 400),
        (INFER, json!({ "inputs": [tensor(&json!(["a"]), &[2])] }), 400),
        (INFER, json!({ "inputs": [tensor(&json!(["a"]), &[usize::MAX, 3])] }), 400),
        (INFER, json!({ "inputs": [tensor(&json!([1]), &[1])] }), 400),
        (INFER, json!({ "inputs": [{ "name": "text", "datatype": "FP32", "shape": [1], "data": [1] }] }), 400),
        (INFER, json!({ "inputs": [{ "name": "text", "datatype": "BYTES", "shape": [1] }] }), 400),
        (INFER, json!({ "inputs": [tensor(&json!(["a"]), &[1])], "outputs": [{ "name": "x" }] }), 400),
        ("/v2/models/bert-rank/infer", json!({ "inputs": [tensor(&json!(["a"]), &[1])] }), 400),
        ("/v2/models/bert-tag/infer", json!({ "inputs": [tensor(&json!(["a"]), &[1])] }), 400),
    ] {
        let reply = running.post(path, &body);
        assert_eq!(reply.status, status, "{path} {body}: {}", reply.text());
        assert!(reply.json()["error"].is_string(), "{path} {body}");
    }
}
