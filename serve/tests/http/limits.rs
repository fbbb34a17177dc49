//! Deadlines of clients, and how many connections there may be.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use lacuna_serve::Limits;
use serde_json::json;

use crate::client::{raw, request};
use crate::support::{Running, embedder};

#[test]
fn a_request_ends_when_its_client_waits_no_longer() {
    let running = Running::new(vec![embedder().0]);
    let many = json!({ "inputs": vec!["a cat sat on the mat and the dog sat on the cat"; 2000] }).to_string();
    let late = running.send("/embed", &[("x-request-timeout-ms", "1")], many.as_bytes());
    assert_eq!((late.status, late.json()["error"].as_str()), (504, Some("no result within 1 ms")));
    // The other protocols write it in their own form.
    let many = json!({ "input": vec!["a cat sat on the mat and the dog sat on the cat"; 2000] }).to_string();
    let late = running.send("/v1/embeddings", &[("x-request-timeout-ms", "1")], many.as_bytes());
    assert_eq!((late.status, &late.json()["error"]["type"]), (504, &json!("server_error")));
    let soon = running.send("/embed", &[("x-request-timeout-ms", "60000")], br#"{"inputs": "a cat"}"#);
    assert_eq!(soon.status, 200);
    for wrong in ["0", "-1", "1.5", "soon", "", "86400001"] {
        let refused = running.send("/embed", &[("x-request-timeout-ms", wrong)], br#"{"inputs": "a cat"}"#);
        assert_eq!(refused.status, 422, "{wrong}");
        assert!(refused.text().contains("milliseconds from 1 to 86400000"), "{}", refused.text());
    }
    let text = running.get("/metrics").text();
    assert!(text.lines().any(|line| line == r#"te_request_count_total{route="/embed",status="504"} 1"#), "{text}");
}

#[test]
fn connections_beyond_the_limit_are_told_so() {
    let running = Running::limited(vec![embedder().0], Limits { connections: 2, ..Limits::default() });
    let idle: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(running.address).unwrap()).collect();
    let refused = running.get("/health");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.json()["error"], "found 2 open connections; expected fewer");
    drop(idle);
    let patience = Instant::now() + Duration::from_secs(30);
    while raw(running.address, &request("GET", "/health", &[], b"")).status != 200 {
        assert!(Instant::now() < patience, "no connection became free");
    }
    let text = running.get("/metrics").text();
    assert!(text.lines().any(|line| line.starts_with("te_connections ")), "{text}");
}
