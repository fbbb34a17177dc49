//! `/embed`, `/embed_all`, `/similarity`.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;

use super::options::ReadingOptions;
use crate::error::{Error, Result};
use crate::http::{Answer, Body, Inputs};
use crate::infer::{VectorOptions, cosine};
use crate::model::ServedModel;
use crate::prepare::Input;
use crate::server::Server;

/// The body of `/embed`.
#[derive(Debug, Deserialize)]
pub(crate) struct EmbedRequest {
    inputs: Inputs,
    #[serde(default = "yes")]
    normalize: bool,
    dimensions: Option<usize>,
    #[serde(flatten)]
    reading: ReadingOptions,
}

fn yes() -> bool {
    true
}

pub(super) async fn embed(
    State(server): State<Arc<Server>>,
    Body(request): Body<EmbedRequest>,
) -> Result<Answer<Vec<Vec<f32>>>> {
    embed_of(&server, &server.model(None)?, request).await
}

/// `/embed` of one of the models.
pub(crate) async fn embed_of(
    server: &Server,
    model: &Arc<ServedModel>,
    request: EmbedRequest,
) -> Result<Answer<Vec<Vec<f32>>>> {
    let EmbedRequest { inputs, normalize, dimensions, reading } = request;
    let options = VectorOptions { reading: reading.into(), normalize: Some(normalize), dimensions };
    let (vectors, usage) = server.vectors(model, "inputs", inputs.all, options).await?;
    Ok(Answer(vectors, usage))
}

/// The body of `/embed_all`.
#[derive(Debug, Deserialize)]
pub(super) struct EmbedAllRequest {
    inputs: Inputs,
    #[serde(flatten)]
    reading: ReadingOptions,
}

pub(super) async fn embed_all(
    State(server): State<Arc<Server>>,
    Body(request): Body<EmbedAllRequest>,
) -> Result<Answer<Vec<Vec<Vec<f32>>>>> {
    let model = server.model(None)?;
    let (states, usage) = server.states(&model, "inputs", request.inputs.all, request.reading.into()).await?;
    let rows = states.iter().map(|states| (0..states.rows).map(|row| states.row(row).to_vec()).collect());
    let rows: Vec<Vec<Vec<f32>>> = rows.collect();
    Ok(Answer(rows, usage))
}

/// The body of `/similarity`.
#[derive(Debug, Deserialize)]
pub(crate) struct SimilarityRequest {
    inputs: SimilarityInputs,
    #[serde(default)]
    parameters: Option<ReadingOptions>,
}

/// A sentence, and those that it is compared with.
#[derive(Debug, Deserialize)]
struct SimilarityInputs {
    source_sentence: String,
    sentences: Vec<String>,
}

pub(super) async fn similarity(
    State(server): State<Arc<Server>>,
    Body(request): Body<SimilarityRequest>,
) -> Result<Answer<Vec<f32>>> {
    similarity_of(&server, &server.model(None)?, request).await
}

/// `/similarity` of one of the models: the cosine of every sentence to the source.
pub(crate) async fn similarity_of(
    server: &Server,
    model: &Arc<ServedModel>,
    request: SimilarityRequest,
) -> Result<Answer<Vec<f32>>> {
    let SimilarityInputs { source_sentence, sentences } = request.inputs;
    if sentences.is_empty() {
        return Err(Error::Empty { field: "inputs.sentences" });
    }
    let inputs = std::iter::once(source_sentence).chain(sentences).map(Input::Text).collect();
    let reading = request.parameters.unwrap_or_default().into();
    let options = VectorOptions { reading, ..VectorOptions::default() };
    let (vectors, usage) = server.vectors(model, "inputs.sentences", inputs, options).await?;
    let cosines = vectors.iter().skip(1).map(|vector| cosine(&vectors[0], vector)).collect();
    Ok(Answer(cosines, usage))
}
