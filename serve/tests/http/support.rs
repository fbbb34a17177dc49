//! Servers with tiny models, on ports of their own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lacuna::heads::Head;
use lacuna::tokens::TypedIds;
use lacuna::{Compile, Encoder, Model};
use lacuna_serve::{DrainOptions, Limits, PoolOptions, ServedModel, Server, ServerOptions, serve};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::client::{Reply, raw, request};

/// The folder of a tiny model with a head.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/heads").join(name)
}

/// The encoder and the head of a tiny model, calibrated on its own fixture.
pub(crate) fn open(name: &str) -> (Arc<Encoder>, Arc<Head>) {
    let model = Model::open(folder(name)).expect("the fixture opens");
    let head = model.head().expect("the fixture has a head");
    let golden = std::fs::read(folder(name).join("golden.json")).expect("the fixture has expectations");
    let golden: Value = serde_json::from_slice(&golden).expect("they are JSON");
    let rows = golden["rows"].as_array().expect("they have rows");
    let sequences: Vec<(Vec<u32>, Vec<u32>)> = rows
        .iter()
        .flat_map(|row| row["windows"].as_array().cloned().unwrap_or_else(|| vec![row.clone()]))
        .map(|row| (integers(&row["ids"]), integers(&row["types"])))
        .collect();
    let ids: Vec<TypedIds<'_>> = sequences.iter().map(|(ids, types)| TypedIds { ids, types }).collect();
    let encoder = model.calibration().run_ids(&ids).expect("it is calibrated").compile().expect("it compiles");
    (Arc::new(encoder), Arc::new(head))
}

pub(crate) fn integers(value: &Value) -> Vec<u32> {
    let values = value.as_array().expect("a list").iter();
    values.map(|x| u32::try_from(x.as_u64().expect("a number")).expect("a small one")).collect()
}

pub(crate) fn floats(value: &Value) -> Vec<f32> {
    value
        .as_array()
        .unwrap_or_else(|| panic!("a list: {value}"))
        .iter()
        .map(|x| x.as_f64().expect("a number") as f32)
        .collect()
}

/// A value as JSON writes it: the shortest digits that give the same f32.
pub(crate) fn number(value: f32) -> Value {
    serde_json::from_str(&serde_json::to_string(&value).expect("a number")).expect("a number")
}

/// A tiny model with its head.
pub(crate) fn with_head(name: &str) -> ServedModel {
    let (encoder, head) = open(name);
    ServedModel::new(name, encoder, Some(head)).expect("it can be served")
}

/// A tiny model for embeddings.
pub(crate) fn embedder() -> (ServedModel, Arc<Encoder>) {
    let (encoder, _) = open("bert-classify");
    (ServedModel::new("tiny", Arc::clone(&encoder), None).expect("it can be served"), encoder)
}

/// A server that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) server: Arc<Server>,
    end: Option<oneshot::Sender<()>>,
    done: Option<tokio::task::JoinHandle<std::io::Result<()>>>,
    runtime: Runtime,
}

impl Running {
    /// With one instance, and limits of the caller.
    pub(crate) fn limited(models: Vec<ServedModel>, limits: Limits) -> Running {
        let pool = PoolOptions { instances: 1, threads: 1 };
        Running::start(models, ServerOptions { pool, limits, ..ServerOptions::default() }, DrainOptions::default())
    }

    pub(crate) fn new(models: Vec<ServedModel>) -> Running {
        Running::limited(models, Limits::default())
    }

    pub(crate) fn start(models: Vec<ServedModel>, options: ServerOptions, drain: DrainOptions) -> Running {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let server = Server::start(models, options).expect("the server starts");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let (end, ended) = oneshot::channel();
        let serving = serve(Arc::clone(&server), listener, drain, async move {
            let _ = ended.await;
        });
        let done = Some(runtime.spawn(serving));
        Running { address, server, end: Some(end), done, runtime }
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        raw(self.address, &request("GET", path, &[], b""))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(path, &[], body.to_string().as_bytes())
    }

    pub(crate) fn send(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        raw(self.address, &request("POST", path, headers, body))
    }

    /// Asks the server to end, as a signal does.
    pub(crate) fn end(&mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
    }

    /// Waits until the server has ended.
    pub(crate) fn wait(&mut self) {
        if let Some(done) = self.done.take() {
            self.runtime.block_on(done).expect("no panic").expect("no error");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
        self.wait();
    }
}
