//! What operators ask a server: how it is, what it serves, what it counted.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::model::ModelKind;
use crate::server::Server;
use crate::ui::ui;

/// What the text format of the metrics is called.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The OpenAPI document of all routes.
pub(crate) const OPENAPI: &str = include_str!("../openapi.json");

/// Routes that need no key: probes and collectors have none.
pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/health", get(health))
        .route("/ping", get(health))
        .route("/metrics", get(metrics))
        .route("/docs", get(docs))
        .route("/ui", get(ui))
        .route("/openapi.json", get(openapi))
}

/// Routes that need a key where the server has keys.
pub(crate) fn admin() -> Router<Arc<Server>> {
    Router::new().route("/info", get(info)).route("/admin/reload", post(reload))
}

async fn health(State(server): State<Arc<Server>>) -> Result<()> {
    match server.is_draining() {
        true => Err(Error::Draining),
        false => Ok(()),
    }
}

async fn metrics(State(server): State<Arc<Server>>) -> Result<Response> {
    let text = server.metrics().text(server.snapshot()).map_err(|error| Error::backend(error.to_string()))?;
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}

async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

async fn docs() -> Html<&'static str> {
    Html(include_str!("../docs.html"))
}

async fn info(State(server): State<Arc<Server>>) -> Result<Json<Value>> {
    let model = server.model(None)?;
    let labels = || -> Value {
        let labels = model.head().map_or(&[][..], |head| head.labels()).iter().enumerate();
        let id2label: serde_json::Map<_, _> = labels.clone().map(|(i, l)| (i.to_string(), json!(l))).collect();
        let label2id: serde_json::Map<_, _> = labels.map(|(i, l)| (l.clone(), json!(i))).collect();
        json!({ "id2label": id2label, "label2id": label2id })
    };
    let kind = match model.kind() {
        ModelKind::Classifier => json!({ "classifier": labels() }),
        ModelKind::Reranker => json!({ "reranker": labels() }),
        ModelKind::Embedder => json!({ "embedding": { "pooling": model.encoder().pooling().mode_names() } }),
        ModelKind::Tagger => json!({ "token_classifier": labels() }),
        ModelKind::Answerer => json!({ "question_answerer": {} }),
        ModelKind::Filler => json!({ "fill_mask": { "pooling": model.encoder().pooling().mode_names() } }),
    };
    let (limits, pool) = (server.limits(), server.pool_options());
    Ok(Json(json!({
        "model_id": model.name(),
        "model_sha": null,
        "model_dtype": "int8",
        "model_type": kind,
        "max_concurrent_requests": limits.queue,
        "max_input_length": model.max_tokens(),
        "max_batch_tokens": limits.batch_tokens,
        "max_batch_requests": null,
        "max_client_batch_size": limits.request_texts,
        "auto_truncate": limits.truncate,
        "tokenization_workers": pool.instances * pool.threads,
        "instances": pool.instances,
        "threads": pool.threads,
        "version": env!("CARGO_PKG_VERSION"),
        "sha": null,
        "docker_label": null,
    })))
}

/// Which model is loaded again; without a name all of them.
#[derive(Debug, Deserialize)]
struct ReloadQuery {
    model: Option<String>,
}

/// Loads models again. A server without keys refuses: anybody could keep it busy.
async fn reload(State(server): State<Arc<Server>>, Query(query): Query<ReloadQuery>) -> Result<Json<Value>> {
    if !server.keys().are_required() {
        return Err(Error::Unauthorized);
    }
    let names = match query.model {
        Some(name) => vec![server.model(Some(&name))?.name().to_owned()],
        None => server.models().iter().map(|model| model.name().to_owned()).collect(),
    };
    let loading = names.clone();
    let work = tokio::task::spawn_blocking(move || loading.iter().try_for_each(|name| server.reload(Some(name))));
    work.await.unwrap_or_else(|_| Err(Error::Reload { reason: "loading stopped at a contradiction".into() }))?;
    Ok(Json(json!({ "reloaded": names })))
}
