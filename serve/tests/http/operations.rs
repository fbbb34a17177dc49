//! Keys, probes, metrics, reloads, the end of a server.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lacuna_serve::{DrainOptions, Limits, PoolOptions, ServedModel, ServerOptions};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::client::{raw, read, request};
use crate::support::{Running, embedder, open};

fn options() -> ServerOptions {
    ServerOptions { pool: PoolOptions { instances: 1, threads: 1 }, ..ServerOptions::default() }
}

#[test]
fn keys_open_all_routes_but_probes() {
    let options = ServerOptions { api_keys: vec!["secret".into()], ..options() };
    let running = Running::start(vec![embedder().0], options, DrainOptions::default());
    let body = json!({ "inputs": "a", "input": "a" }).to_string();
    let status = |path: &str, header: (&str, &str)| running.send(path, &[header], body.as_bytes()).status;
    for path in ["/embed", "/v1/embeddings", "/models/tiny"] {
        let refused = running.send(path, &[], body.as_bytes());
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")), "{path}");
        assert!(refused.json().get("error").is_some());
        for wrong in ["Bearer secre", "Bearer", "Basic secret", "secret", "Bearer secret2"] {
            assert_eq!(status(path, ("authorization", wrong)), 401, "{path} {wrong}");
        }
        assert_eq!(status(path, ("authorization", "Bearer secret")), 200, "{path}");
        assert_eq!(status(path, ("x-api-key", "secret")), 200, "{path}");
    }
    for path in ["/v1/models", "/v2/health/live", "/info"] {
        assert_eq!(running.get(path).status, 401, "{path}");
    }
    for path in ["/health", "/ping", "/metrics", "/docs", "/ui", "/openapi.json"] {
        assert_eq!(running.get(path).status, 200, "{path}");
    }
}

#[test]
fn metrics_count_requests_by_route_and_status() {
    let running = Running::new(vec![embedder().0]);
    for _ in 0..3 {
        running.post("/embed", &json!({ "inputs": ["a cat", "a dog"] })).ok();
    }
    assert_eq!(running.post("/v1/models/x", &json!({})).status, 405);
    assert_eq!(running.post("/embed", &json!({})).status, 422);
    assert_eq!(running.get("/none").status, 404);
    let text = running.get("/metrics").text();
    for line in [
        "te_request_count_total{route=\"/embed\",status=\"200\"} 3",
        "te_request_count_total{route=\"/embed\",status=\"422\"} 1",
        "te_request_count_total{route=\"none\",status=\"404\"} 1",
        "te_request_duration_seconds_count{route=\"/embed\"} 4",
        "te_request_queue_duration_seconds_count 3",
        "te_batch_next_size_sum 6.0",
        "te_tokens_total 24",
        "te_queue_size 0",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

/// The paths and methods that the source names.
fn routes() -> BTreeSet<(String, String)> {
    let mut routes = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protocols")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            for route in text.split(".route(\"").skip(1) {
                let (path, rest) = route.split_once("\", ").unwrap();
                routes.insert((path.to_owned(), rest.split_once('(').unwrap().0.to_owned()));
            }
        }
    }
    routes
}

#[test]
fn the_document_has_every_route_and_no_other() {
    let running = Running::new(vec![embedder().0]);
    let document = running.get("/openapi.json").ok();
    let paths = document["paths"].as_object().unwrap();
    let methods = |(path, methods): (&String, &Value)| {
        let methods = methods.as_object().unwrap().keys().cloned();
        methods.map(|method| (path.clone(), method)).collect::<Vec<_>>()
    };
    assert_eq!(paths.iter().flat_map(methods).collect::<BTreeSet<_>>(), routes());
    // Every schema that is named is there.
    let text = document.to_string();
    for name in text.split("#/components/schemas/").skip(1) {
        let name = name.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
    }
    assert!(running.get("/docs").text().contains("openapi.json"));
}

#[test]
fn the_page_may_run_its_own_script_and_ask_its_own_server_only() {
    let running = Running::new(vec![embedder().0]);
    let page = running.get("/ui");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let html = page.text();
    let policy = page.header("content-security-policy").unwrap();
    for (name, directive) in [("script", "script-src"), ("style", "style-src")] {
        let (_, rest) = html.split_once(&format!("<{name}>")).unwrap();
        let (text, rest) = rest.split_once(&format!("</{name}>")).unwrap();
        assert!(!rest.contains(&format!("<{name}")), "one element {name}");
        let hash = STANDARD.encode(Sha256::digest(text));
        assert!(policy.contains(&format!("{directive} 'sha256-{hash}';")), "{directive} in {policy}");
    }
    for part in
        ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"]
    {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    // The policy refuses these; a page with them would only be broken.
    for refused in ["unsafe-", "*"] {
        assert!(!policy.contains(refused), "{refused} in {policy}");
    }
    for outside in ["src=", "@import", "url(", "://", "innerHTML", " style=", " onclick="] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[test]
fn a_model_is_reloaded_while_it_serves() {
    static LOADS: AtomicUsize = AtomicUsize::new(0);
    let reload = Box::new(|name: &str| match LOADS.fetch_add(1, Ordering::SeqCst) {
        0 => ServedModel::new(name, open("bert-rank").0, None).map_err(|error| error.to_string()),
        _ => Err("the file is damaged".to_owned()),
    });
    let options = ServerOptions { api_keys: vec!["k".into()], reload: Some(reload), ..options() };
    let (model, encoder) = embedder();
    let old = std::sync::Arc::downgrade(&encoder);
    drop(encoder);
    let running = Running::start(vec![model], options, DrainOptions::default());
    let key = [("authorization", "Bearer k")];
    let embed = || running.send("/embed", &key, json!({ "inputs": "a cat" }).to_string().as_bytes()).ok();
    let before = embed();
    assert_eq!(running.send("/admin/reload", &key, b"").ok(), json!({ "reloaded": ["tiny"] }));
    let after = embed();
    assert_ne!(before, after);
    assert!(old.upgrade().is_none(), "the old model is gone");
    let failed = running.send("/admin/reload?model=tiny", &key, b"");
    assert_eq!(failed.status, 500);
    assert!(failed.json()["error"].as_str().unwrap().contains("the file is damaged"));
    assert_eq!(embed(), after);
    assert_eq!(running.send("/admin/reload?model=other", &key, b"").status, 404);
    // A server without keys does not let anybody reload.
    let open = Running::new(vec![embedder().0]);
    assert_eq!(open.send("/admin/reload", &[], b"").status, 401);
}

#[test]
fn accepted_requests_finish_after_the_end_is_asked_for() {
    let notice = Duration::from_secs(3);
    let limit = Duration::from_secs(300);
    let drain = DrainOptions { notice, limit };
    let mut running = Running::start(vec![embedder().0], options(), drain);
    let texts = vec!["a cat sat on the mat and the dog sat on the cat"; 1000];
    let body = json!({ "inputs": texts }).to_string();
    let mut streams: Vec<TcpStream> = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(running.address).unwrap();
        stream.write_all(&request("POST", "/embed", &[], body.as_bytes())).unwrap();
        streams.push(stream);
    }
    // Accepted: the server counts them, or has answered.
    std::thread::sleep(Duration::from_millis(50));
    let idle = TcpStream::connect(running.address).unwrap();
    let asked = Instant::now();
    running.end();
    while running.get("/health").status != 503 {
        assert!(asked.elapsed() < notice, "/health turns first");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(running.get("/v2/health/ready").status, 503);
    running.post("/embed", &json!({ "inputs": "a cat" })).ok(); // still served
    for stream in &mut streams {
        assert_eq!(read(stream).ok().as_array().unwrap().len(), texts.len());
    }
    running.wait();
    assert!(asked.elapsed() < limit / 2, "an idle connection does not hold the server");
    drop(idle);
    assert!(TcpStream::connect(running.address).is_err());
}

#[test]
fn large_and_slow_bodies_are_refused() {
    let limits =
        Limits { body_bytes: 10_000, text_bytes: 1000, body_time: Duration::from_millis(200), ..Limits::default() };
    let running = Running::limited(vec![embedder().0], limits);
    let text = |bytes: usize| json!({ "inputs": "a".repeat(bytes) });
    for (bytes, what) in [
        (1001, "bytes of a text"),
        (10_001, "bytes of the body"),
        (70_000, "bytes of the body"),
        (10 << 20, "bytes of the body"),
    ] {
        let reply = running.post("/embed", &text(bytes));
        assert_eq!((reply.status, &reply.json()["error_type"]), (413, &json!("Validation")), "{bytes}");
        assert!(reply.json()["error"].as_str().unwrap().starts_with(what), "{}", reply.text());
    }
    // A client that reads only when all is sent gets the answer, too.
    let mut stream = TcpStream::connect(running.address).unwrap();
    let large = text(70_000).to_string();
    for part in request("POST", "/embed", &[], large.as_bytes()).chunks(10_000) {
        stream.write_all(part).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(read(&mut stream).status, 413);
    let mut stream = TcpStream::connect(running.address).unwrap();
    stream.write_all(b"POST /embed HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{").unwrap();
    assert_eq!(read(&mut stream).status, 408);
    assert_eq!(raw(running.address, &request("GET", "/health", &[], b"")).status, 200);
}
