//! `/predict` and `/rerank`.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::options::ReadingOptions;
use crate::error::{Error, Result};
use crate::http::{Answer, Body, PairInputs};
use crate::infer::Label;
use crate::model::ServedModel;
use crate::server::Server;

/// The body of `/predict`.
#[derive(Debug, Deserialize)]
pub(super) struct PredictRequest {
    inputs: PairInputs,
    #[serde(default)]
    raw_scores: bool,
    #[serde(flatten)]
    reading: ReadingOptions,
}

/// Labels of one input, or of many.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Predictions {
    Single(Vec<Label>),
    Batch(Vec<Vec<Label>>),
}

pub(super) async fn predict(
    State(server): State<Arc<Server>>,
    Body(request): Body<PredictRequest>,
) -> Result<Answer<Predictions>> {
    let PredictRequest { inputs, raw_scores, reading } = request;
    let model = server.model(None)?;
    let (mut labels, usage) = server.labels(&model, "inputs", inputs.all, reading.into(), raw_scores).await?;
    let predictions = match inputs.is_single {
        true => Predictions::Single(labels.pop().unwrap_or_default()),
        false => Predictions::Batch(labels),
    };
    Ok(Answer(predictions, usage))
}

/// The body of `/rerank`.
#[derive(Debug, Deserialize)]
pub(crate) struct RerankRequest {
    query: String,
    texts: Vec<String>,
    #[serde(default)]
    raw_scores: bool,
    #[serde(default)]
    return_text: bool,
    #[serde(flatten)]
    reading: ReadingOptions,
}

/// A text with its score.
#[derive(Debug, Serialize)]
pub(crate) struct Rank {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    score: f32,
}

pub(super) async fn rerank(
    State(server): State<Arc<Server>>,
    Body(request): Body<RerankRequest>,
) -> Result<Answer<Vec<Rank>>> {
    rerank_of(&server, &server.model(None)?, request).await
}

/// `/rerank` of one of the models.
pub(crate) async fn rerank_of(
    server: &Server,
    model: &Arc<ServedModel>,
    request: RerankRequest,
) -> Result<Answer<Vec<Rank>>> {
    let RerankRequest { query, texts, raw_scores, return_text, reading } = request;
    if texts.is_empty() {
        return Err(Error::Empty { field: "texts" });
    }
    let (scores, usage) = server.scores(model, &query, "texts", &texts, reading.into(), raw_scores).await?;
    let rank = |scored: &crate::infer::Scored| Rank {
        index: scored.index,
        text: return_text.then(|| texts[scored.index].clone()),
        score: scored.score,
    };
    Ok(Answer(scores.iter().map(rank).collect(), usage))
}
