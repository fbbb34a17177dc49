//! Reranking as Cohere has it, `/v2/rerank`, and `/v1/rerank`, which other servers have.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::http::{Answer, Body};
use crate::prepare::{Reading, Truncate};
use crate::server::Server;

/// The routes.
pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new().route("/v2/rerank", post(rerank)).route("/v1/rerank", post(rerank))
}

/// The body. Documents are truncated, as the protocol has it.
#[derive(Debug, Deserialize)]
struct RerankRequest {
    query: String,
    documents: Vec<Document>,
    model: Option<String>,
    top_n: Option<usize>,
    #[serde(default)]
    return_documents: bool,
}

/// A document: a string, or an object with a text.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a string, or an object with a text")]
enum Document {
    Text(String),
    Object { text: String },
}

#[derive(Debug, Serialize)]
struct RerankResponse {
    id: String,
    model: String,
    results: Vec<RankedDocument>,
    meta: Value,
    /// As `/v1/rerank` of other servers has it.
    usage: Value,
}

#[derive(Debug, Serialize)]
struct RankedDocument {
    index: usize,
    relevance_score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Value>,
}

async fn rerank(
    State(server): State<Arc<Server>>,
    Body(request): Body<RerankRequest>,
) -> Result<Answer<RerankResponse>> {
    let RerankRequest { query, documents, model, top_n, return_documents } = request;
    if documents.is_empty() {
        return Err(Error::Empty { field: "documents" });
    }
    if top_n == Some(0) {
        return Err(Error::invalid("top_n", 0, "at least 1"));
    }
    let model = server.model(model.as_deref())?;
    let texts: Vec<String> = documents
        .into_iter()
        .map(|document| match document {
            Document::Text(text) | Document::Object { text } => text,
        })
        .collect();
    let reading = Reading { truncate: Truncate { wanted: Some(true), side: None }, ..Reading::default() };
    let (mut scores, usage) = server.scores(&model, &query, "documents", &texts, reading, false).await?;
    scores.truncate(top_n.unwrap_or(usize::MAX));
    let ranked = |scored: &crate::infer::Scored| RankedDocument {
        index: scored.index,
        relevance_score: scored.score,
        document: return_documents.then(|| serde_json::json!({ "text": texts[scored.index] })),
    };
    let response = RerankResponse {
        id: server.next_request_id(),
        model: model.name().to_owned(),
        results: scores.iter().map(ranked).collect(),
        meta: serde_json::json!({
            "api_version": { "version": "2" },
            "billed_units": { "search_units": 1 },
            "tokens": { "input_tokens": usage.tokens },
        }),
        usage: serde_json::json!({ "total_tokens": usage.tokens }),
    };
    Ok(Answer(response, usage))
}
