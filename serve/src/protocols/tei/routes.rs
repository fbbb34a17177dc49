//! Which path is which route.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::response::Response;
use axum::routing::post;

use super::super::pipelines::run_default;
use super::classify::{predict, rerank};
use super::embed::{embed, embed_all, similarity};
use super::tokens::{decode, tokenize};
use crate::model::ModelKind;
use crate::server::Server;

/// The routes of text-embeddings-inference that run the default model.
pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/", post(root))
        .route("/embed", post(embed))
        .route("/embed_all", post(embed_all))
        .route("/similarity", post(similarity))
        .route("/predict", post(predict))
        .route("/rerank", post(rerank))
        .route("/tokenize", post(tokenize))
        .route("/decode", post(decode))
}

/// What the default model is for. Kinds that text-embeddings-inference does not have answer as the pipelines of transformers do.
async fn root(State(server): State<Arc<Server>>, request: Request) -> Response {
    let kind = server.model(None).map(|model| model.kind());
    match kind {
        Ok(ModelKind::Classifier) => predict.call(request, server).await,
        Ok(ModelKind::Reranker) => rerank.call(request, server).await,
        Ok(ModelKind::Embedder) | Err(_) => embed.call(request, server).await,
        Ok(_) => run_default.call(request, server).await,
    }
}
