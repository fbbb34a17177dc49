//! Masked tokens: for every text the candidates of its mask, or a list of them where it has several masks.

use std::sync::Arc;

use lacuna::tasks::{Candidate, FilledMask, MaskFiller};
use serde::{Deserialize, Serialize};

use super::many::{Many, check, top_k};
use crate::error::{Error, Result};
use crate::http::Answer;
use crate::model::ServedModel;
use crate::queued;
use crate::server::Server;

/// Candidates per mask.
const CANDIDATES: usize = 5;

#[derive(Debug, Deserialize)]
pub(super) struct FillRequest {
    inputs: Many<String>,
    #[serde(default)]
    parameters: Option<Parameters>,
}

#[derive(Debug, Default, Deserialize)]
struct Parameters {
    top_k: Option<usize>,
    /// Refused: candidates are those of the whole vocabulary.
    targets: Option<serde_json::Value>,
}

#[derive(Debug, Serialize)]
pub(super) struct Filled {
    score: f32,
    token: u32,
    token_str: String,
    sequence: String,
}

impl From<Candidate> for Filled {
    fn from(candidate: Candidate) -> Filled {
        let Candidate { id, token, score, sequence, .. } = candidate;
        Filled { score, token: id, token_str: token, sequence }
    }
}

/// Filling in masks.
pub(super) async fn fill(
    server: &Arc<Server>,
    model: &Arc<ServedModel>,
    request: FillRequest,
) -> Result<Answer<Many<Many<Vec<Filled>>>>> {
    let parameters = request.parameters.unwrap_or_default();
    if parameters.targets.is_some_and(|targets| !targets.is_null()) {
        return Err(Error::invalid("targets", "a value", "none: candidates are those of the whole vocabulary"));
    }
    let most = top_k(parameters.top_k, CANDIDATES)?;
    let (texts, is_list) = request.inputs.into_list();
    check(texts.iter().map(|text| [&text[..]]), server.limits())?;
    let head = Arc::clone(model.require_head()?);
    let task = move |backbone| MaskFiller::new(backbone, head)?.fill(&texts, most);
    let (all, usage) = queued::run(server, model, task).await?;
    let candidates = |mask: FilledMask| mask.candidates.into_iter().map(Filled::from).collect::<Vec<_>>();
    let found = |masks: Vec<FilledMask>| {
        let has_many = masks.len() > 1;
        Many::of(masks.into_iter().map(candidates).collect(), has_many)
    };
    Ok(Answer(Many::of(all.into_iter().map(found).collect(), is_list), usage))
}
