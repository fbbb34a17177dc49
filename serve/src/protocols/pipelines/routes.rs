//! From a model to its pipeline.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::tei::{embed_of, rerank_of, similarity_of};
use super::answer::answer;
use super::classify::classify;
use super::fill::fill;
use super::tag::tag;
use crate::error::{Error, Result};
use crate::http::Body;
use crate::model::{ModelKind, ServedModel};
use crate::server::Server;

/// The routes.
pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new().route("/models/{name}", post(run_named))
}

async fn run_named(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    Body(request): Body<Value>,
) -> Result<Response> {
    run(&server, &server.model(Some(&name))?, request).await
}

/// The pipeline of the default model.
pub(crate) async fn run_default(State(server): State<Arc<Server>>, Body(request): Body<Value>) -> Result<Response> {
    run(&server, &server.model(None)?, request).await
}

async fn run(server: &Arc<Server>, model: &Arc<ServedModel>, request: Value) -> Result<Response> {
    let is_similarity = request.pointer("/inputs/source_sentence").is_some();
    Ok(match model.kind() {
        ModelKind::Embedder if is_similarity => similarity_of(server, model, read(request)?).await?.into_response(),
        ModelKind::Embedder => embed_of(server, model, read(request)?).await?.into_response(),
        ModelKind::Reranker if request.get("query").is_some() => {
            rerank_of(server, model, read(request)?).await?.into_response()
        }
        ModelKind::Classifier | ModelKind::Reranker => classify(server, model, read(request)?).await?.into_response(),
        ModelKind::Tagger => tag(server, model, read(request)?).await?.into_response(),
        ModelKind::Answerer => answer(server, model, read(request)?).await?.into_response(),
        ModelKind::Filler => fill(server, model, read(request)?).await?.into_response(),
    })
}

fn read<T: DeserializeOwned>(request: Value) -> Result<T> {
    serde_json::from_value(request).map_err(|error| Error::Invalid { reason: format!("JSON: {error}") })
}
