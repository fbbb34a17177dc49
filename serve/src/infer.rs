//! What the protocols are made of: vectors, hidden states, labels, scores.

use std::sync::Arc;

use lacuna::heads::Head;
use lacuna::weights::Matrix;

use crate::error::{Error, Result};
use crate::model::{ModelKind, ServedModel};
use crate::prepare::{Input, Reading, Usage};
use crate::schedule::{Output, Want};
use crate::server::Server;

/// What embeddings are asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct VectorOptions {
    pub(crate) reading: Reading,
    /// Whether vectors have length 1; `None` is what the model says.
    pub(crate) normalize: Option<bool>,
    /// How many of the first features are kept; the rest is a vector of length 1 again.
    pub(crate) dimensions: Option<usize>,
}

/// Models that give embeddings.
const EMBEDDERS: [ModelKind; 2] = [ModelKind::Embedder, ModelKind::Filler];

impl Server {
    /// One vector for each input. Without options they are those of `lacuna embed`, bit for bit.
    pub(crate) async fn vectors(
        &self,
        model: &Arc<ServedModel>,
        field: &'static str,
        inputs: Vec<Input>,
        options: VectorOptions,
    ) -> Result<(Vec<Vec<f32>>, Usage)> {
        model.require(&EMBEDDERS)?;
        let features = model.encoder().features();
        if let Some(found) = options.dimensions.filter(|&n| n == 0 || n > features) {
            return Err(Error::invalid("dimensions", found, &format!("1 to {features}")));
        }
        let prepared = self.prepare(model, field, inputs, options.reading).await?;
        let (prompt, pooling) = (prepared.prompt, model.encoder().pooling());
        let (mut vectors, usage) = match options.normalize {
            // The kernels normalize with all else; without it the hidden states are pooled again.
            Some(false) if pooling.is_normalized() => {
                let pooling = pooling.changed(None, Some(false));
                let (states, usage) = self.compute(model, Want::States, prepared).await?;
                let pool = |output: Output| pooling.pool_from(&output.matrix(), prompt);
                (states.into_iter().map(pool).collect::<Vec<_>>(), usage)
            }
            _ => {
                let (outputs, usage) = self.compute(model, Want::Vector { prompt }, prepared).await?;
                (outputs.into_iter().map(Output::values).collect(), usage)
            }
        };
        if options.normalize == Some(true) && !pooling.is_normalized() {
            vectors.iter_mut().for_each(|vector| normalize(vector));
        }
        if let Some(dimensions) = options.dimensions.filter(|&n| n < features) {
            for vector in &mut vectors {
                vector.truncate(dimensions);
                if options.normalize.unwrap_or_else(|| pooling.is_normalized()) {
                    normalize(vector);
                }
            }
        }
        if vectors.iter().flatten().any(|value| !value.is_finite()) {
            return Err(Error::backend("the embedding has a value that is not finite"));
        }
        Ok((vectors, usage))
    }

    /// The hidden state of every token of each input.
    pub(crate) async fn states(
        &self,
        model: &Arc<ServedModel>,
        field: &'static str,
        inputs: Vec<Input>,
        reading: Reading,
    ) -> Result<(Vec<Matrix>, Usage)> {
        model.require(&EMBEDDERS)?;
        let prepared = self.prepare(model, field, inputs, reading).await?;
        let (outputs, usage) = self.compute(model, Want::States, prepared).await?;
        let states: Vec<Matrix> = outputs.into_iter().map(Output::matrix).collect();
        if states.iter().flat_map(|states| &states.data).any(|value| !value.is_finite()) {
            return Err(Error::backend("a hidden state has a value that is not finite"));
        }
        Ok((states, usage))
    }

    /// Every label with its score, the best first, for each input.
    pub(crate) async fn labels(
        &self,
        model: &Arc<ServedModel>,
        field: &'static str,
        inputs: Vec<Input>,
        mut reading: Reading,
        raw: bool,
    ) -> Result<(Vec<Vec<Label>>, Usage)> {
        model.require(&[ModelKind::Classifier, ModelKind::Reranker])?;
        let head = Arc::clone(model.require_head()?);
        reading.is_typed = true;
        let prepared = self.prepare(model, field, inputs, reading).await?;
        let (outputs, usage) = self.compute(model, Want::Logits, prepared).await?;
        let labels = outputs.into_iter().map(|output| labelled(&head, output.values(), raw)).collect::<Result<_>>()?;
        Ok((labels, usage))
    }

    /// How well each text fits a query.
    pub(crate) async fn scores(
        &self,
        model: &Arc<ServedModel>,
        query: &str,
        field: &'static str,
        texts: &[String],
        mut reading: Reading,
        raw: bool,
    ) -> Result<(Vec<Scored>, Usage)> {
        model.require(&[ModelKind::Reranker])?;
        let head = model.require_head()?;
        let function = head.score_function().map_err(|error| Error::backend(error.to_string()))?;
        reading.is_typed = true;
        let query = model.encoder().prompts().default_text().unwrap_or_default().to_owned() + query;
        let inputs = texts.iter().map(|text| Input::Pair(query.clone(), text.clone())).collect();
        let prepared = self.prepare(model, field, inputs, reading).await?;
        let (outputs, usage) = self.compute(model, Want::Logits, prepared).await?;
        let mut scores = Vec::with_capacity(outputs.len());
        for (index, output) in outputs.into_iter().enumerate() {
            let logit = output.values().first().copied().unwrap_or(f32::NAN);
            if !logit.is_finite() {
                return Err(Error::backend(format!("input {index}: the score is not finite")));
            }
            scores.push(Scored { index, logit, score: if raw { logit } else { function.score(logit) } });
        }
        // Logits keep an order where scores are all 0 or 1. Equal ones keep the order of the texts.
        scores.sort_by(|a, b| b.logit.total_cmp(&a.logit));
        Ok((scores, usage))
    }
}

/// A label of an input.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(crate) struct Label {
    pub(crate) score: f32,
    pub(crate) label: String,
    /// Its place among the labels of the model.
    #[serde(skip)]
    pub(crate) index: usize,
}

/// A text of a ranking.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scored {
    /// Its place in the request.
    pub(crate) index: usize,
    pub(crate) logit: f32,
    pub(crate) score: f32,
}

fn labelled(head: &Head, logits: Vec<f32>, raw: bool) -> Result<Vec<Label>> {
    if logits.iter().any(|logit| !logit.is_finite()) {
        return Err(Error::backend("the score is not finite"));
    }
    let mut scores = logits.clone();
    if !raw {
        head.problem().scores(&mut scores);
    }
    let labels = head.labels().iter().zip(scores).zip(logits).enumerate();
    let label = |(index, ((label, score), logit)): (usize, ((&String, f32), f32))| {
        (logit, Label { score, label: label.clone(), index })
    };
    let mut all: Vec<(f32, Label)> = labels.map(label).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    Ok(all.into_iter().map(|(_, label)| label).collect())
}

/// Scales a vector to length 1. A vector of zeros stays as it is.
fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
}

/// The cosine of two vectors; 0 if one has no length.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { (dot(a, b) / lengths) as f32 } else { 0.0 }
}
