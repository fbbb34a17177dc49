//! What happens under load.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use lacuna_serve::Limits;
use serde_json::json;

use crate::client::request;
use crate::support::{Running, embedder, floats};

#[test]
fn a_request_beyond_a_batch_is_split_and_keeps_its_order() {
    let (model, encoder) = embedder();
    let words = ["cat", "dog", "mat", "river", "city", "film"];
    let texts: Vec<String> = (0..300).map(|i| format!("the {} {}", words[i % 6], "sat ".repeat(i % 13))).collect();
    let expected = encoder.embed(&texts).unwrap();
    for batch_tokens in [1, 16, 100, 16384] {
        let running = Running::limited(vec![embedder().0], Limits { batch_tokens, ..Limits::default() });
        let found = running.post("/v1/embeddings", &json!({ "input": texts })).ok();
        for (i, expected) in expected.iter().enumerate() {
            assert_eq!(&floats(&found["data"][i]["embedding"]), expected, "text {i}, {batch_tokens} tokens");
        }
        drop(running);
    }
    drop(model);
}

#[test]
fn limits_on_texts_are_413_and_a_request_has_all_or_nothing() {
    let limits = Limits { request_texts: 3, queue: 3, ..Limits::default() };
    let running = Running::limited(vec![embedder().0], limits);
    running.post("/embed", &json!({ "inputs": ["a", "b", "c"] })).ok();
    let reply = running.post("/embed", &json!({ "inputs": ["a", "b", "c", "d"] }));
    assert_eq!(reply.status, 413, "{}", reply.text());
    assert_eq!(reply.json()["error"], "inputs of a request: found 4; expected at most 3");
    let limits = Limits { state_tokens: 10, ..Limits::default() };
    let running = Running::limited(vec![embedder().0], limits);
    running.post("/embed_all", &json!({ "inputs": "a cat" })).ok();
    assert_eq!(running.post("/embed_all", &json!({ "inputs": ["the cat sat", "the dog sat", "a mat"] })).status, 413);
}

#[test]
fn under_load_requests_are_served_or_told_to_come_back() {
    let limits = Limits { request_texts: 64, queue: 64, ..Limits::default() };
    let running = Running::limited(vec![embedder().0], limits);
    let body = json!({ "inputs": vec!["the cat sat on the mat and the dog sat on the river"; 64] });
    let found = Mutex::new((0, 0));
    let end = Instant::now() + Duration::from_millis(800);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                while Instant::now() < end {
                    let reply = running.post("/embed", &body);
                    match reply.status {
                        200 => found.lock().unwrap().0 += 1,
                        429 => {
                            assert_eq!(reply.json()["error_type"], "Overloaded");
                            let retry: u64 = reply.header("retry-after").unwrap().parse().unwrap();
                            assert!((1..=3600).contains(&retry));
                            found.lock().unwrap().1 += 1;
                        }
                        other => panic!("{other}: {}", reply.text()),
                    }
                }
            });
        }
        while Instant::now() < end {
            assert_eq!(running.get("/health").status, 200);
        }
    });
    let (served, refused) = found.into_inner().unwrap();
    assert!(served > 0 && refused > 0, "{served} served, {refused} refused");
    assert_eq!(running.server.snapshot().waiting, 0);
}

#[test]
fn texts_of_a_client_that_has_gone_are_dropped() {
    let running = Running::limited(vec![embedder().0], Limits { batch_tokens: 64, ..Limits::default() });
    let body = json!({ "inputs": vec!["the cat sat on the mat and the dog sat on the river"; 2000] }).to_string();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(running.address).unwrap();
        stream.write_all(&request("POST", "/embed", &[], body.as_bytes())).unwrap();
        let waits = || running.server.snapshot().waiting_tokens > 0;
        let asked = Instant::now();
        while !waits() && asked.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_micros(200));
        }
        drop(stream); // the client goes while its texts wait
    }
    let asked = Instant::now();
    while running.server.snapshot().waiting > 0 {
        assert!(asked.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(1));
    }
    let text = running.get("/metrics").text();
    let dropped = text.lines().find_map(|line| line.strip_prefix("te_abandoned_texts_total ")).unwrap();
    assert!(dropped.parse::<u64>().unwrap() > 0, "{text}");
    running.post("/embed", &json!({ "inputs": "a cat" })).ok();
}

#[test]
fn a_result_that_takes_too_long_is_504() {
    let limits = Limits { response_time: Duration::ZERO, ..Limits::default() };
    let running = Running::limited(vec![embedder().0], limits);
    let texts = vec!["the cat sat on the mat and the dog sat on the river"; 2000];
    assert_eq!(running.post("/embed", &json!({ "inputs": texts })).status, 504);
}
