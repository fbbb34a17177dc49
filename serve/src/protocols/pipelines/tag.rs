//! Token classification: for every text a list of entities.

use std::sync::Arc;

use lacuna::tasks::{Aggregation, Entity, TagOptions, TokenClassifier};
use serde::{Deserialize, Serialize};

use super::many::{Many, check};
use crate::error::{Error, Result};
use crate::http::Answer;
use crate::model::ServedModel;
use crate::queued;
use crate::server::Server;

#[derive(Debug, Deserialize)]
pub(super) struct TagRequest {
    inputs: Many<String>,
    #[serde(default)]
    parameters: Option<Parameters>,
}

#[derive(Debug, Default, Deserialize)]
struct Parameters {
    /// `simple` without it, as the inference API has it.
    aggregation_strategy: Option<String>,
    /// Tokens that two windows of a long text share.
    stride: Option<usize>,
    #[serde(default)]
    ignore_labels: Vec<String>,
}

/// An entity. Places count characters.
#[derive(Debug, Serialize)]
pub(super) struct FoundEntity {
    /// With an aggregation.
    #[serde(skip_serializing_if = "Option::is_none")]
    entity_group: Option<String>,
    /// Without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    entity: Option<String>,
    score: f32,
    word: String,
    start: usize,
    end: usize,
}

/// Token classification.
pub(super) async fn tag(
    server: &Arc<Server>,
    model: &Arc<ServedModel>,
    request: TagRequest,
) -> Result<Answer<Many<Vec<FoundEntity>>>> {
    let Parameters { aggregation_strategy, stride, ignore_labels } = request.parameters.unwrap_or_default();
    let aggregation = aggregation_strategy.as_deref().unwrap_or(Aggregation::Simple.name());
    let aggregation: Aggregation =
        aggregation.parse().map_err(|reason| Error::Invalid { reason: format!("`aggregation_strategy`: {reason}") })?;
    let (texts, is_list) = request.inputs.into_list();
    check(texts.iter().map(|text| [&text[..]]), server.limits())?;
    let head = Arc::clone(model.require_head()?);
    let options = TagOptions { aggregation, scheme: None, overlap: stride };
    let task = move |backbone| {
        let all = TokenClassifier::new(backbone, head)?.tag(&texts, &options)?;
        Ok((texts, all))
    };
    let ((texts, all), usage) = queued::run(server, model, task).await?;
    let found = |(text, entities): (&String, Vec<Entity>)| -> Vec<FoundEntity> {
        let kept = entities.into_iter().filter(|entity| !ignore_labels.contains(&entity.label));
        kept.map(|entity| written(text, entity, aggregation)).collect()
    };
    Ok(Answer(Many::of(texts.iter().zip(all).map(found).collect(), is_list), usage))
}

fn written(text: &str, entity: Entity, aggregation: Aggregation) -> FoundEntity {
    let word = text.get(entity.start..entity.end).unwrap_or_default().to_owned();
    let (entity_group, single) = match aggregation {
        Aggregation::None => (None, Some(entity.label)),
        _ => (Some(entity.label), None),
    };
    let (start, end) = (entity.start_char, entity.end_char);
    FoundEntity { entity_group, entity: single, score: entity.score, word, start, end }
}
