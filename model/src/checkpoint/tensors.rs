//! All tensors of an encoder under the names of its architecture: the counterpart of reading them.

use std::borrow::Cow;

use super::names::{self, LayerNames};
use crate::config::EncoderConfig;
use crate::matrix::Matrix;
use crate::weights::{EncoderWeights, LayerNorm, Linear};

/// A tensor that a checkpoint of the architecture has.
pub(crate) struct NamedTensor<'a> {
    /// Its name, without a prefix.
    pub(crate) name: String,
    /// The shape that the configuration asks for.
    pub(crate) shape: Vec<usize>,
    /// The tensor; `None` if a required tensor is absent.
    pub(crate) found: Option<FoundTensor<'a>>,
}

/// Values and their shape.
pub(crate) struct FoundTensor<'a> {
    pub(crate) shape: Vec<usize>,
    /// Row-major.
    pub(crate) values: Cow<'a, [f32]>,
}

/// Every tensor of an encoder, in the order of the model. The rows of a position table that belong to no token are zeros.
pub(crate) fn named_tensors<'a>(config: &EncoderConfig, weights: &'a EncoderWeights) -> Vec<NamedTensor<'a>> {
    let (hidden, features) = (config.hidden_size, config.embedding_features());
    let embeddings = &*weights.embeddings;
    let mut list = List(Vec::new());
    list.matrix(names::WORD, config.vocab_size, features, &embeddings.word);
    list.position(config, &embeddings.position);
    if config.architecture.has_token_types() {
        list.matrix(names::TOKEN_TYPE, config.type_vocab_size, features, &embeddings.token_type);
    }
    list.norm(names::EMBEDDING_NORM, features, &embeddings.norm);
    match (config.projects_embeddings(), &embeddings.projection) {
        (true, Some(projection)) => list.linear(names::PROJECTION, (hidden, features), projection),
        (true, None) => list.add(format!("{}.weight", names::PROJECTION), vec![hidden, features], None),
        (false, _) => {}
    }
    for (i, layer) in weights.layers.iter().enumerate() {
        let LayerNames { q, k, v, o, attention_norm, up, down, output_norm } = names::layer(config.architecture, i);
        let [shape_q, shape_k, shape_v, shape_o, shape_up, shape_down] = config.linear_shapes();
        list.linear(&q, shape_q, &layer.q);
        list.linear(&k, shape_k, &layer.k);
        list.linear(&v, shape_v, &layer.v);
        list.linear(&o, shape_o, &layer.o);
        list.norm(&attention_norm, hidden, &layer.attention_norm);
        list.linear(&up, shape_up, &layer.up);
        list.linear(&down, shape_down, &layer.down);
        list.norm(&output_norm, hidden, &layer.output_norm);
    }
    if let Some(pooler) = weights.pooler.as_ref().filter(|_| config.architecture.has_pooler()) {
        list.linear(names::POOLER, (hidden, hidden), pooler);
    }
    list.0
}

struct List<'a>(Vec<NamedTensor<'a>>);

impl<'a> List<'a> {
    fn add(&mut self, name: String, shape: Vec<usize>, found: Option<FoundTensor<'a>>) {
        self.0.push(NamedTensor { name, shape, found });
    }

    fn vector(&mut self, name: &str, length: usize, values: &'a [f32]) {
        let found = FoundTensor { shape: vec![values.len()], values: values.into() };
        self.add(name.to_owned(), vec![length], Some(found));
    }

    fn matrix(&mut self, name: &str, rows: usize, cols: usize, matrix: &'a Matrix) {
        let found = FoundTensor { shape: vec![matrix.rows, matrix.cols], values: (&matrix.data[..]).into() };
        self.add(name.to_owned(), vec![rows, cols], Some(found));
    }

    /// The table begins with rows of padding in RoBERTa and its kin.
    fn position(&mut self, config: &EncoderConfig, matrix: &'a Matrix) {
        let (offset, features) = (config.position_offset, config.embedding_features());
        if offset == 0 {
            return self.matrix(names::POSITION, config.max_position, features, matrix);
        }
        let mut values = vec![0.0; offset.saturating_mul(matrix.cols)];
        values.extend_from_slice(&matrix.data);
        let found = FoundTensor { shape: vec![matrix.rows + offset, matrix.cols], values: values.into() };
        self.add(names::POSITION.to_owned(), vec![config.max_position + offset, features], Some(found));
    }

    fn linear(&mut self, name: &str, (outputs, inputs): (usize, usize), linear: &'a Linear) {
        self.matrix(&format!("{name}.weight"), outputs, inputs, &linear.weight);
        self.vector(&format!("{name}.bias"), outputs, &linear.bias);
    }

    fn norm(&mut self, name: &str, features: usize, norm: &'a LayerNorm) {
        let [[gamma, _], [beta, _]] = [names::gamma(name), names::beta(name)];
        self.vector(&gamma, features, &norm.gamma);
        self.vector(&beta, features, &norm.beta);
    }
}
