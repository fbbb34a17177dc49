//! `/pooling`, as vLLM has it: what the model makes of each input, as numbers.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde::{Deserialize, Serialize};

use super::openai::{Encoding, TokenUsage, base64_of};
use crate::error::{Error, Result};
use crate::http::{Answer, Body, Inputs};
use crate::infer::VectorOptions;
use crate::model::ModelKind;
use crate::prepare::{Reading, Truncate, Usage};
use crate::server::Server;

/// The route.
pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new().route("/pooling", post(pooling))
}

/// The body of `/pooling`.
#[derive(Debug, Deserialize)]
struct PoolingRequest {
    input: Inputs,
    model: Option<String>,
    task: Option<Task>,
    encoding_format: Option<Encoding>,
    dimensions: Option<usize>,
    /// Whether vectors have length 1, and logits become probabilities; `None` is what the model says, and yes.
    use_activation: Option<bool>,
    truncate_prompt_tokens: Option<i64>,
}

/// What is wanted of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Task {
    /// The embedding.
    Embed,
    /// The hidden state of every token.
    TokenEmbed,
    /// The score of every label, in the order of the model.
    Classify,
}

#[derive(Debug, Serialize)]
struct PoolingResponse {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    data: Vec<Pooled>,
    usage: TokenUsage,
}

#[derive(Debug, Serialize)]
struct Pooled {
    index: usize,
    object: &'static str,
    data: Numbers,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Numbers {
    Vector(Vec<f32>),
    Rows(Vec<Vec<f32>>),
    Base64(String),
}

async fn pooling(
    State(server): State<Arc<Server>>,
    Body(request): Body<PoolingRequest>,
) -> Result<Answer<PoolingResponse>> {
    let model = server.model(request.model.as_deref())?;
    let task = request.task.unwrap_or(match model.kind() {
        ModelKind::Classifier | ModelKind::Reranker => Task::Classify,
        _ => Task::Embed,
    });
    if request.dimensions.is_some() && task != Task::Embed {
        return Err(Error::invalid("dimensions", "a task without embeddings", "the task embed"));
    }
    let truncate = Truncate { wanted: truncation(request.truncate_prompt_tokens)?, side: None };
    let reading = Reading { truncate, ..Reading::default() };
    let inputs = request.input.all;
    let (numbers, usage): (Vec<Numbers>, Usage) = match task {
        Task::Embed => {
            let options = VectorOptions { reading, normalize: request.use_activation, dimensions: request.dimensions };
            let (vectors, usage) = server.vectors(&model, "input", inputs, options).await?;
            (vectors.into_iter().map(Numbers::Vector).collect(), usage)
        }
        Task::TokenEmbed => {
            let (states, usage) = server.states(&model, "input", inputs, reading).await?;
            let rows =
                |states: &lacuna::weights::Matrix| (0..states.rows).map(|row| states.row(row).to_vec()).collect();
            (states.iter().map(|states| Numbers::Rows(rows(states))).collect(), usage)
        }
        Task::Classify => {
            let raw = request.use_activation == Some(false);
            let (labels, usage) = server.labels(&model, "input", inputs, reading, raw).await?;
            let in_order = |mut labels: Vec<crate::infer::Label>| {
                labels.sort_by_key(|label| label.index);
                Numbers::Vector(labels.into_iter().map(|label| label.score).collect())
            };
            (labels.into_iter().map(in_order).collect(), usage)
        }
    };
    let format = request.encoding_format.unwrap_or_default();
    let pooled =
        |(index, numbers): (usize, Numbers)| Pooled { index, object: "pooling", data: numbers.written(format) };
    let response = PoolingResponse {
        id: server.next_request_id(),
        object: "list",
        created: model.created(),
        model: model.name().to_owned(),
        data: numbers.into_iter().enumerate().map(pooled).collect(),
        usage: TokenUsage { prompt_tokens: usage.tokens, total_tokens: usage.tokens },
    };
    Ok(Answer(response, usage))
}

/// Whether `truncate_prompt_tokens` truncates: -1 is to what the model reads. Other lengths are refused, because nothing would be
/// truncated to them.
fn truncation(tokens: Option<i64>) -> Result<Option<bool>> {
    match tokens {
        None => Ok(None),
        Some(-1) => Ok(Some(true)),
        Some(found) => {
            Err(Error::invalid("truncate_prompt_tokens", found, "-1, which is the length that the model reads"))
        }
    }
}

impl Numbers {
    /// As the request wants them: rows are written one behind the other in base64.
    fn written(self, format: Encoding) -> Numbers {
        match (format, self) {
            (Encoding::Float, numbers) => numbers,
            (Encoding::Base64, Numbers::Vector(vector)) => Numbers::Base64(base64_of(&vector)),
            (Encoding::Base64, Numbers::Rows(rows)) => Numbers::Base64(base64_of(&rows.concat())),
            (Encoding::Base64, text @ Numbers::Base64(_)) => text,
        }
    }
}
