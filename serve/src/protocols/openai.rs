//! The routes of OpenAI: `/v1/embeddings` and `/v1/models`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::Result;
use crate::http::{Answer, Body, Inputs};
use crate::infer::VectorOptions;
use crate::model::ServedModel;
use crate::server::Server;

/// The routes.
pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/v1/embeddings", post(embeddings))
        .route("/v1/models", get(models))
        .route("/v1/models/{name}", get(model))
}

/// The body of `/v1/embeddings`.
#[derive(Debug, Deserialize)]
struct EmbeddingsRequest {
    input: Inputs,
    model: Option<String>,
    encoding_format: Option<Encoding>,
    dimensions: Option<usize>,
}

/// How a vector is written.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    /// A list of numbers.
    #[default]
    Float,
    /// Its f32 values, little-endian, in base64.
    Base64,
}

#[derive(Debug, Serialize)]
struct EmbeddingsResponse {
    object: &'static str,
    data: Vec<Embedding>,
    model: String,
    usage: TokenUsage,
}

#[derive(Debug, Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Vector {
    Float(Vec<f32>),
    Base64(String),
}

#[derive(Debug, Serialize)]
pub(super) struct TokenUsage {
    pub(super) prompt_tokens: usize,
    pub(super) total_tokens: usize,
}

async fn embeddings(
    State(server): State<Arc<Server>>,
    Body(request): Body<EmbeddingsRequest>,
) -> Result<Answer<EmbeddingsResponse>> {
    let EmbeddingsRequest { input, model, encoding_format, dimensions } = request;
    let model = server.model(model.as_deref())?;
    let options = VectorOptions { dimensions, ..VectorOptions::default() };
    let (vectors, usage) = server.vectors(&model, "input", input.all, options).await?;
    let written = |vector: Vec<f32>| match encoding_format.unwrap_or_default() {
        Encoding::Float => Vector::Float(vector),
        Encoding::Base64 => Vector::Base64(base64_of(&vector)),
    };
    let embedding = |(index, vector)| Embedding { object: "embedding", index, embedding: written(vector) };
    let response = EmbeddingsResponse {
        object: "list",
        data: vectors.into_iter().enumerate().map(embedding).collect(),
        model: model.name().to_owned(),
        usage: TokenUsage { prompt_tokens: usage.tokens, total_tokens: usage.tokens },
    };
    Ok(Answer(response, usage))
}

/// Values in f32, little-endian, as base64.
pub(super) fn base64_of(values: &[f32]) -> String {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

async fn models(State(server): State<Arc<Server>>) -> Json<Value> {
    let data: Vec<Value> = server.models().iter().map(|model| described(model)).collect();
    Json(json!({ "object": "list", "data": data }))
}

async fn model(State(server): State<Arc<Server>>, Path(name): Path<String>) -> Result<Json<Value>> {
    Ok(Json(described(&*server.model(Some(&name))?)))
}

/// A model, with two fields that OpenAI does not have and the hub does: what the model is for, and how masks are written for it.
fn described(model: &ServedModel) -> Value {
    let mut described = json!({
        "id": model.name(),
        "object": "model",
        "created": model.created(),
        "owned_by": "lacuna",
        "pipeline_tag": model.kind().pipeline_tag(),
    });
    if let Some(mask) = model.mask_token() {
        described["mask_token"] = json!(mask);
    }
    described
}
