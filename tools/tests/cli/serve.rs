//! The server as a command: its vectors, its signals, what it refuses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::{Value, json};

use crate::{lacuna, refuses, run, run_with, stdout};

fn model(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/heads").join(name);
    folder.to_str().unwrap().to_owned()
}

/// A running server.
pub(crate) struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    address: String,
    /// What it said until it listened.
    said: String,
}

impl Running {
    fn start(args: &[&str]) -> Running {
        Running::start_with(args, |_| {})
    }

    /// The same with a command that is changed first.
    pub(crate) fn start_with(args: &[&str], change: impl FnOnce(&mut Command)) -> Running {
        let mut command = lacuna(&["serve", "--port", "0", "--log", "warn"]);
        change(&mut command);
        let mut child = command.args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut running = Running { child, stderr, address: String::new(), said: String::new() };
        let mut said = String::new();
        while running.address.is_empty() {
            let mut line = String::new();
            assert!(running.stderr.read_line(&mut line).unwrap() > 0, "{said}");
            said += &line;
            if let Some((_, rest)) = line.split_once("listening on http://") {
                running.address = rest.split(',').next().unwrap().to_owned();
            }
        }
        running.said = said;
        running
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{reply}");
        serde_json::from_str(body).unwrap()
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn vectors_are_those_of_embed() {
    let model = model("bert-fill");
    let running = Running::start(&["--model", &format!("tiny={model}"), "--no-head"]);
    let texts = ["The cat sat on the mat.", "Zoë met Émile in Paris.", ""];
    let lines = stdout(run_with(&["embed", "--model", &model], (texts.join("\n") + "\n").as_bytes()));
    let found = running.post("/v1/embeddings", &json!({ "input": texts, "model": "tiny" }));
    assert_eq!(lines.lines().count(), texts.len());
    for (i, line) in lines.lines().enumerate() {
        let expected: Value = serde_json::from_str(line).unwrap();
        assert_eq!(found["data"][i]["embedding"], expected["embedding"], "{line}");
    }
}

#[cfg(unix)]
#[test]
fn the_server_ends_with_a_signal_and_loads_models_again_with_another() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.lacuna");
    let file = file.to_str().unwrap();
    stdout(run(&["pack", "--model", &model("bert-classify"), "--output", file]));
    for end in ["-TERM", "-INT"] {
        let mut running = Running::start(&["--model", file]);
        let before = running.post("/predict", &json!({ "inputs": "The cat sat." }));
        if end == "-TERM" {
            stdout(run(&["pack", "--model", &model("distilbert-classify"), "--output", file]));
            running.signal("-HUP");
            let changed = (0..200).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(20));
                running.post("/predict", &json!({ "inputs": "The cat sat." })) != before
            });
            assert!(changed, "the new model serves");
        }
        running.signal(end);
        assert_eq!(running.child.wait().unwrap().code(), Some(0));
        let mut rest = String::new();
        running.stderr.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "nothing went wrong");
    }
}

#[test]
fn a_load_is_measured() {
    let running = Running::start(&["--model", &model("bert-classify"), "--no-head"]);
    let url = format!("http://{}/embed", running.address);
    let json = stdout(run(&["bench", "serve", "--url", &url, "--rate", "50", "--time", "0.5", "--seq", "8", "--json"]));
    let rows: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&rows[0]["refused"], &rows[0]["broken"], &rows[0]["overloaded"]), (&json!(0), &json!(0), &json!(0)));
    assert!(rows[0]["served"].as_u64().unwrap() > 5 && rows[0]["tokens_per_s"].as_f64().unwrap() > 0.0, "{rows}");
    let table = stdout(run(&["bench", "serve", "--url", &url, "--time", "0.2", "--connections", "2", "--texts", "3"]));
    assert!(table.contains("closed"), "{table}");
}

#[test]
fn instances_and_threads_are_chosen_by_measurement() {
    let model = model("bert-classify");
    let running = Running::start(&["--model", &model, "--auto-tune", "0.2", "--latency-ms", "0.000001"]);
    let said = &running.said;
    assert!(said.contains("1 instance of ") && said.contains(" tokens/s, "), "{said}");
    assert!(said.contains("warning: no choice answers within --latency-ms 0.000001"), "{said}");
    running.post("/predict", &json!({ "inputs": "The cat sat." }));
}

#[test]
fn a_load_is_drawn() {
    let running = Running::start(&["--model", &model("bert-classify"), "--no-head"]);
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("load.html");
    let url = format!("http://{}/embed", running.address);
    let html = page.to_str().unwrap();
    stdout(run(&["bench", "serve", "--url", &url, "--rate", "20,40", "--time", "0.3", "--seq", "8", "--html", html]));
    assert_eq!(std::fs::read_to_string(&page).unwrap().matches("<svg").count(), 2);
}

/// Takes one request, and answers that it was taken. Gives its bytes.
#[cfg(all(feature = "otlp", unix))]
fn collected(listener: &std::net::TcpListener) -> Vec<u8> {
    let (mut stream, _) = listener.accept().unwrap();
    let mut all = Vec::new();
    let mut buffer = [0; 65536];
    loop {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&all));
        all.extend(&buffer[..read]);
        let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&all[..end]).to_ascii_lowercase();
        let length: usize = head.split_once("content-length: ").unwrap().1.lines().next().unwrap().parse().unwrap();
        if all.len() >= end + 4 + length {
            write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").unwrap();
            return all;
        }
    }
}

#[cfg(all(feature = "otlp", unix))]
#[test]
fn a_trace_of_a_request_reaches_the_collector() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut running = Running::start(&["--model", &model("bert-classify"), "--otlp", &url]);
    let mut stream = TcpStream::connect(&running.address).unwrap();
    let body = r#"{"inputs": "The cat sat."}"#;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let length = body.len();
    write!(
        stream,
        "POST /predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntraceparent: {parent}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    running.signal("-TERM");
    let sent = collected(&listener);
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    let has = |bytes: &[u8]| sent.windows(bytes.len()).any(|found| found == bytes);
    assert!(has(b"POST /v1/traces ") && has(b"POST /predict") && has(b"lacuna") && has(b"tokens"));
    let trace = [0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c];
    assert!(has(&trace) && has(&[0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]), "the client's span is the parent");
}

#[cfg(not(feature = "otlp"))]
#[test]
fn a_build_without_traces_says_how_to_build_one_with_them() {
    refuses(&["serve", "--otlp", "http://localhost:4318"], "build with --features otlp");
}

#[test]
fn what_cannot_be_served_is_refused() {
    let tiny = model("bert-classify");
    refuses(&["serve", "--model", "nothing"], "nothing");
    refuses(&["serve", "--model", "=a"], "expected PATH or NAME=PATH");
    refuses(&["serve", "--model", &tiny, "--instances", "100000"], "--instances: found 100000 with --threads 1");
    refuses(&["serve", "--model", &tiny, "--max-queue", "3"], "--max-queue: found 3");
    refuses(&["serve", "--model", &tiny, "--log", "lacuna=loud"], "--log: found");
    refuses(&["serve", "--model", &tiny, "--timeout", "NaN"], "expected a number of seconds");
    refuses(&["serve", "--model", &tiny, "--model", &tiny, "--port", "0"], "two models of the name \"bert-classify\"");
    refuses(&["serve", "--model", &tiny, "--auto-tune", "--threads", "1"], "--auto-tune: found --threads 1 beside it");
    refuses(&["serve", "--model", &tiny, "--auto-tune", "--instances", "1"], "cannot be used with");
    refuses(&["serve", "--model", &tiny, "--latency-ms", "5"], "--auto-tune");
    refuses(&["serve", "--model", &tiny, "--header-timeout", "0"], "above 0");
    refuses(&["serve", "--model", &tiny, "--from-hub", "../b"], "expected");
    refuses(&["bench", "serve", "--url", "ftp://a"], "expected http://HOST:PORT/PATH");
    refuses(&["bench", "serve", "--rate", "0"], "--rate");
}
