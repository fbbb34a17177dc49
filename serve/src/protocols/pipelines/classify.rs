//! Text classification: for every input a list of labels, the best first.

use std::sync::Arc;

use serde::Deserialize;

use super::many::{Many, top_k};
use crate::error::Result;
use crate::http::Answer;
use crate::infer::Label;
use crate::model::ServedModel;
use crate::prepare::{Input, Reading, Truncate};
use crate::server::Server;

#[derive(Debug, Deserialize)]
pub(super) struct ClassifyRequest {
    inputs: Many<ClassifyInput>,
    #[serde(default)]
    parameters: Option<Parameters>,
}

/// A text, or a pair of texts.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a string, or an object with text and text_pair")]
enum ClassifyInput {
    Text(String),
    Pair { text: String, text_pair: Option<String> },
}

#[derive(Debug, Default, Deserialize)]
struct Parameters {
    top_k: Option<usize>,
    function_to_apply: Option<Function>,
    truncation: Option<bool>,
}

/// How logits become scores; without it the model's own way is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Function {
    None,
    Softmax,
    Sigmoid,
}

/// Text classification.
pub(super) async fn classify(
    server: &Server,
    model: &Arc<ServedModel>,
    request: ClassifyRequest,
) -> Result<Answer<Vec<Vec<Label>>>> {
    let parameters = request.parameters.unwrap_or_default();
    let most = top_k(parameters.top_k, usize::MAX)?;
    let (inputs, _) = request.inputs.into_list();
    let input = |input| match input {
        ClassifyInput::Text(text) | ClassifyInput::Pair { text, text_pair: None } => Input::Text(text),
        ClassifyInput::Pair { text, text_pair: Some(pair) } => Input::Pair(text, pair),
    };
    let truncate = Truncate { wanted: parameters.truncation, side: None };
    let reading = Reading { truncate, ..Reading::default() };
    let raw = parameters.function_to_apply.is_some();
    let inputs = inputs.into_iter().map(input).collect();
    let (mut all, usage) = server.labels(model, "inputs", inputs, reading, raw).await?;
    for labels in &mut all {
        apply(parameters.function_to_apply, labels);
        labels.truncate(most);
    }
    Ok(Answer(all, usage))
}

/// Logits to scores.
fn apply(function: Option<Function>, labels: &mut [Label]) {
    match function {
        Some(Function::Sigmoid) => labels.iter_mut().for_each(|label| label.score = 1.0 / (1.0 + (-label.score).exp())),
        Some(Function::Softmax) => {
            let largest = labels.iter().map(|label| label.score).fold(f32::NEG_INFINITY, f32::max);
            labels.iter_mut().for_each(|label| label.score = (label.score - largest).exp());
            let sum: f32 = labels.iter().map(|label| label.score).sum();
            labels.iter_mut().for_each(|label| label.score /= sum);
        }
        Some(Function::None) | None => {}
    }
}
