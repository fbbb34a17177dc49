//! An HTTP server for encoders.
//!
//! One server speaks several protocols, so that unmodified clients work: those of text-embeddings-inference, OpenAI, Cohere, the Open
//! Inference Protocol (KServe, Triton), and the pipelines of transformers. All requests share one queue. A scheduler packs their texts
//! into batches by tokens, without padding.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use lacuna::Encoder;
//! use lacuna_serve::{DrainOptions, ServedModel, Server, ServerOptions, serve};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let encoder = Arc::new(Encoder::open("minilm.lacuna")?);
//! let server = Server::start(vec![ServedModel::new("minilm", encoder, None)?], ServerOptions::default())?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! serve(server, listener, DrainOptions::default(), std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # From a request to its answer
//!
//! 1. A route reads the body and asks the [`Server`] for vectors, labels, scores or hidden states.
//! 2. The texts are tokenized and admitted to the queue, all or none. A full queue is an [`Error::Overloaded`].
//! 3. An instance takes a batch: half of its tokens from the oldest request, the rest from all others in turns.
//! 4. The last result of a request sends all of them to the route, which writes the answer.
//!
//! A vector has the same bits whatever batch it was computed in, on any number of threads.

#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

mod connection;
mod error;
mod http;
mod infer;
mod key;
mod limits;
mod listen;
mod metrics;
mod model;
mod options;
mod prepare;
mod protocols;
mod queued;
mod router;
mod schedule;
mod server;
mod tune;
mod ui;

pub use error::{Error, Result};
pub use limits::Limits;
pub use listen::{DrainOptions, serve};
pub use model::{ModelKind, ServedModel};
pub use options::{Reload, ServerOptions, StartError};
pub use router::router;
pub use schedule::{PoolOptions, PoolSnapshot};
pub use server::Server;
pub use tune::{TuneOptions, TunedSplit, choose, tune};
