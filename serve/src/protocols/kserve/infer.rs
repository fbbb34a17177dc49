//! From tensors of texts to tensors of results.

use std::sync::Arc;

use super::tensor::{InputTensor, OutputTensor, Values};
use crate::error::{Error, Result};
use crate::infer::VectorOptions;
use crate::model::{ModelKind, ServedModel};
use crate::prepare::{Input, Reading};
use crate::server::Server;

/// The tensors that a model takes and gives, for its description: name, datatype, shape with -1 for any number.
pub(super) type Tensors = Vec<(&'static str, &'static str, Vec<i64>)>;

/// What a model takes.
pub(super) fn inputs_of(model: &ServedModel) -> Tensors {
    match model.kind() {
        ModelKind::Reranker => vec![("query", "BYTES", vec![1]), ("text", "BYTES", vec![-1])],
        _ => vec![("text", "BYTES", vec![-1])],
    }
}

/// What a model gives.
pub(super) fn outputs_of(model: &ServedModel) -> Tensors {
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    match model.kind() {
        ModelKind::Embedder | ModelKind::Filler => {
            vec![("embedding", "FP32", vec![-1, count(model.encoder().features())])]
        }
        ModelKind::Classifier => {
            let labels = model.head().map_or(0, |head| head.labels().len());
            vec![("scores", "FP32", vec![-1, count(labels)]), ("label", "BYTES", vec![-1])]
        }
        ModelKind::Reranker => vec![("score", "FP32", vec![-1])],
        ModelKind::Tagger | ModelKind::Answerer => vec![],
    }
}

/// Runs a model.
pub(super) async fn infer(
    server: &Server,
    model: &Arc<ServedModel>,
    inputs: &[InputTensor],
    mut binary: &[u8],
) -> Result<Vec<OutputTensor>> {
    let mut texts: Vec<(&str, Vec<String>)> = Vec::with_capacity(inputs.len());
    for tensor in inputs {
        texts.push((&tensor.name, tensor.texts(&mut binary)?));
    }
    if !binary.is_empty() {
        return Err(Error::invalid("body", format!("{} bytes that no input takes", binary.len()), "none"));
    }
    let mut take = |name: &str| {
        let place = texts.iter().position(|(found, _)| *found == name)?;
        Some(texts.swap_remove(place).1)
    };
    let missing = |name: &str| Error::invalid("inputs", "no such input", &format!("one of the name {name:?}"));
    let text = take("text").ok_or_else(|| missing("text"))?;
    let (query, pair) = (take("query"), take("pair"));
    if let Some((name, _)) = texts.first() {
        return Err(Error::invalid("inputs", format!("{name:?}"), "text, and of some models query or pair"));
    }
    match model.kind() {
        ModelKind::Classifier => classify(server, model, text, pair).await,
        ModelKind::Reranker => match query.as_deref() {
            Some([query]) => rerank(server, model, query, &text).await,
            _ => Err(missing("query")),
        },
        ModelKind::Embedder | ModelKind::Filler => embed(server, model, text).await,
        kind => Err(Error::backend(format!("model is {}: /models/{} serves it", kind.name(), model.name()))),
    }
}

async fn embed(server: &Server, model: &Arc<ServedModel>, texts: Vec<String>) -> Result<Vec<OutputTensor>> {
    let inputs = texts.into_iter().map(Input::Text).collect();
    let (vectors, _) = server.vectors(model, "text", inputs, VectorOptions::default()).await?;
    let shape = vec![vectors.len(), model.encoder().features()];
    Ok(vec![OutputTensor { name: "embedding", shape, values: Values::Floats(vectors.concat()) }])
}

async fn classify(
    server: &Server,
    model: &Arc<ServedModel>,
    texts: Vec<String>,
    pairs: Option<Vec<String>>,
) -> Result<Vec<OutputTensor>> {
    let inputs: Vec<Input> = match pairs {
        None => texts.into_iter().map(Input::Text).collect(),
        Some(pairs) if pairs.len() == texts.len() => {
            texts.into_iter().zip(pairs).map(|(text, pair)| Input::Pair(text, pair)).collect()
        }
        Some(pairs) => {
            return Err(Error::invalid("pair", pairs.len(), &format!("{} values, as text has", texts.len())));
        }
    };
    let (all, _) = server.labels(model, "text", inputs, Reading::default(), false).await?;
    let names = model.require_head()?.labels();
    let score = |labels: &[crate::infer::Label], name: &String| {
        labels.iter().find(|label| label.label == *name).map_or(0.0, |label| label.score)
    };
    let scores: Vec<f32> = all.iter().flat_map(|labels| names.iter().map(|name| score(labels, name))).collect();
    let best = all.iter().map(|labels| labels.first().map_or_else(String::new, |best| best.label.clone())).collect();
    Ok(vec![
        OutputTensor { name: "scores", shape: vec![all.len(), names.len()], values: Values::Floats(scores) },
        OutputTensor { name: "label", shape: vec![all.len()], values: Values::Texts(best) },
    ])
}

async fn rerank(server: &Server, model: &Arc<ServedModel>, query: &str, texts: &[String]) -> Result<Vec<OutputTensor>> {
    let (ranked, _) = server.scores(model, query, "text", texts, Reading::default(), false).await?;
    let mut scores = vec![0.0; texts.len()];
    for scored in ranked {
        scores[scored.index] = scored.score;
    }
    Ok(vec![OutputTensor { name: "score", shape: vec![texts.len()], values: Values::Floats(scores) }])
}
