//! The routes of text-embeddings-inference.
//!
//! Source: `docs/openapi.json` of huggingface/text-embeddings-inference, version 1.7.

mod classify;
mod embed;
mod options;
mod routes;
mod tokens;

pub(crate) use self::classify::rerank_of;
pub(crate) use self::embed::{embed_of, similarity_of};
pub(crate) use self::routes::routes;
