//! The server over HTTP, with tiny models: protocols, batching, limits, operations.

mod client;
mod cohere;
mod embeddings;
mod kserve;
mod limits;
mod malformed;
mod openai;
mod operations;
mod pipelines;
mod pooling;
mod queue;
mod rerank;
mod support;
