//! From the last hidden state back to the embeddings, layer by layer.

use rayon::prelude::*;

use super::attention::Attention;
use super::counts::Counts;
use super::embeddings::Embeddings;
use super::graph::Graph;
use super::node::{named, output};
use super::norm::Norm;
use super::pooled::OwnPooling;
use super::product::{Product, Rounding};
use crate::codes::{FileCodes, LayerCodes, TensorQuant};
use crate::config::EncoderConfig;
use crate::error::Result;
use crate::heads::DenseActivation;
use crate::weights::{EncoderWeights, LayerWeights, Linear};

/// Largest relative difference between epsilons that are the same number: one of them may have been f16.
const EPSILON_TOLERANCE: f32 = 1e-3;

/// An encoder as nodes.
pub(super) struct Traced<'g> {
    /// The last hidden state.
    pub(super) states: &'g str,
    pub(super) embeddings: Embeddings<'g>,
    /// In the order they run.
    pub(super) layers: Vec<Layer<'g>>,
    /// What every layer normalisation adds to the variance.
    pub(super) epsilon: f32,
}

/// A way to read a sum.
struct Residual<'g> {
    linear: &'g str,
    residual: &'g str,
    /// Constants that are added to both.
    biases: Vec<&'g str>,
}

/// An encoder layer as nodes.
pub(super) struct Layer<'g> {
    pub(super) attention: Attention<'g>,
    pub(super) o: Product<'g>,
    attention_norm: Norm<'g>,
    pub(super) up: Product<'g>,
    pub(super) down: Product<'g>,
    output_norm: Norm<'g>,
}

/// What a graph holds.
pub(crate) struct Read {
    pub(crate) weights: EncoderWeights,
    /// Codes and scales, if there are any.
    pub(crate) codes: Option<FileCodes>,
    /// What every layer normalisation adds to the variance, where that is not `layer_norm_eps` of `config.json`.
    pub(crate) epsilon: Option<f32>,
    /// How an output of the graph pools the hidden states.
    pub(crate) pooling: Option<OwnPooling>,
    /// What a reader should know.
    pub(crate) notes: Vec<String>,
}

impl Graph {
    /// Follows the graph from its last layer normalisation behind a residual to the embeddings.
    pub(super) fn trace<'g>(&'g self, config: &EncoderConfig) -> Result<Traced<'g>> {
        let residual =
            |norm: &Norm<'g>| self.residuals(norm.input).iter().any(|sum| self.product(sum.linear).is_some());
        let last = self.nodes().rev().filter_map(|node| self.norm(output(node))).find(residual);
        let Some(last) = last else {
            let value = self.nodes().next_back().map_or("", output);
            let found = "no layer normalisation of the sum of a linear layer and a residual";
            return Err(self.stop_with(value, found, "a layer that ends in one").into());
        };
        let mut layers = Vec::new();
        let mut value = last.value;
        while let Some(norm) = self.norm(value).filter(residual) {
            if layers.len() >= config.layers {
                let what = format!("layers, behind {}", self.describe(value));
                return Err(self.differs(what, format!("more than {}", layers.len()), config.layers).into());
            }
            let (layer, before) = self.layer(norm, config)?;
            layers.push(layer);
            value = self.root(before);
        }
        let embeddings = self.embeddings(value)?;
        if layers.len() != config.layers {
            let what = format!("layers, behind {}", self.describe(value));
            return Err(self.differs(what, layers.len(), config.layers).into());
        }
        layers.reverse();
        let norms = layers.iter().flat_map(|layer: &Layer<'_>| [&layer.attention_norm, &layer.output_norm]);
        let epsilon = self.common_epsilon(&embeddings.norm, norms)?;
        Ok(Traced { states: last.value, embeddings, layers, epsilon })
    }

    /// The two ways to read a sum: linear layer and residual. Constants may be added to it.
    fn residuals<'g>(&'g self, value: &'g str) -> Vec<Residual<'g>> {
        let (mut sum, mut biases) = (self.root(value), Vec::new());
        while let Some(node) = self.maker(sum).filter(|node| node.op_type == "Add") {
            let [a, b] = &node.input[..] else { break };
            match (self.is_tainted(a), self.is_tainted(b)) {
                (true, true) => {
                    let other = Residual { linear: b, residual: a, biases: biases.clone() };
                    return vec![Residual { linear: a, residual: b, biases }, other];
                }
                (true, false) if self.is_constant(b) => {
                    biases.push(&**b);
                    sum = self.root(a);
                }
                (false, true) if self.is_constant(a) => {
                    biases.push(&**a);
                    sum = self.root(b);
                }
                _ => break,
            }
        }
        vec![]
    }

    fn layer<'g>(&'g self, output_norm: Norm<'g>, config: &EncoderConfig) -> Result<(Layer<'g>, &'g str)> {
        let (down, (function, up), states) = self.tried(output_norm.input, |down, residual| {
            let (function, up) = self.function(down.input)?;
            let states = self.root(residual);
            match up.input == states {
                true => Ok((down, (function, up), states)),
                false => Err(self.residual_differs(up.input, states)),
            }
        })?;
        if function != DenseActivation::Feature(config.activation) {
            let found = match function {
                DenseActivation::Feature(activation) => activation.name(),
                DenseActivation::Tanh => "tanh",
            };
            let what = format!("the activation before {}", named(down.node));
            return Err(self.differs(what, found, config.activation).into());
        }
        let attention_norm = self
            .norm(states)
            .ok_or_else(|| self.stop(states, "the layer normalisation behind attention and residual"))?;
        let (o, attention, before) = self.tried(attention_norm.input, |o, residual| {
            let attention = self.attention(o.input, config)?;
            let before = self.root(residual);
            match attention.linears.iter().find(|linear| linear.input != before) {
                None => Ok((o, attention, before)),
                Some(linear) => Err(self.residual_differs(linear.input, before)),
            }
        })?;
        Ok((Layer { attention, o, attention_norm, up, down, output_norm }, before))
    }

    /// Reads a sum with either summand as the linear layer; the error is that of the first that is one.
    fn tried<'g, T>(&'g self, sum: &'g str, read: impl Fn(Product<'g>, &'g str) -> Result<T>) -> Result<T> {
        let mut first = None;
        for Residual { linear, residual, biases } in self.residuals(sum) {
            match self.product(linear).map(|product| read(product.with_biases(&biases), residual)) {
                Some(Ok(value)) => return Ok(value),
                Some(Err(error)) => drop(first.get_or_insert(error)),
                None => {}
            }
        }
        Err(first.unwrap_or_else(|| self.stop(self.root(sum), "the sum of a linear layer and a residual").into()))
    }

    fn residual_differs(&self, input: &str, residual: &str) -> crate::error::Error {
        let found = format!("a layer that reads it, beside a residual of {}", self.describe(residual));
        self.stop_with(input, found, "the same value in both").into()
    }

    /// The epsilon that all layer normalisations share.
    fn common_epsilon<'n, 'g: 'n>(&self, first: &Norm<'g>, others: impl Iterator<Item = &'n Norm<'g>>) -> Result<f32> {
        let epsilon = first.epsilon;
        if !(0.0..1.0).contains(&epsilon) {
            return Err(self.stop_with(first.value, format!("the epsilon {epsilon}"), "0 <= epsilon < 1").into());
        }
        for norm in others {
            if !is_near(norm.epsilon, epsilon) {
                let found = format!("the epsilon {}", norm.epsilon);
                let expected = format!("{epsilon}, as {} has", self.describe(first.value));
                return Err(self.stop_with(norm.value, found, expected).into());
            }
        }
        Ok(epsilon)
    }
}

/// Whether two epsilons are the same number, but for rounding to f16.
fn is_near(a: f32, b: f32) -> bool {
    (a - b).abs() <= EPSILON_TOLERANCE * a.max(b)
}

impl Traced<'_> {
    /// Reads all weights; layers in parallel.
    /// `one_type` is the type that every token has, where the graph says so.
    pub(super) fn load(&self, graph: &Graph, config: &EncoderConfig, one_type: Option<usize>) -> Result<Read> {
        let mut notes = Vec::new();
        let mut embeddings = graph.load_embeddings(&self.embeddings, config, one_type, &mut notes)?;
        let (hidden, features) = (config.hidden_size, config.embedding_features());
        let mut codes = FileCodes::default();
        let mut counts = Counts::default();
        match (&self.embeddings.projection, config.projects_embeddings()) {
            (Some(projection), true) => {
                let loaded = graph.load(projection, "the projection of the embeddings", (hidden, features))?;
                counts.linear(&loaded);
                counts.input(projection.rounding);
                codes.projection_in = fixed(projection.rounding);
                codes.projection = loaded.codes;
                embeddings.projection = Some(loaded.linear);
            }
            (None, false) => {}
            (found, expected) => {
                let found = if found.is_some() { "one" } else { "none" };
                let config = if expected {
                    "embedding_size other than hidden_size"
                } else {
                    "embedding_size equal to hidden_size"
                };
                return Err(graph.differs("a linear layer behind the embeddings", found, config).into());
            }
        }
        let read = self.layers.par_iter().enumerate().map(|(i, layer)| layer.load(graph, config, i));
        let read = read.collect::<Result<Vec<_>>>()?;
        let mut layers = Vec::with_capacity(read.len());
        for (weights, of_layer, of_counts) in read {
            layers.push(weights);
            codes.layers.push(of_layer);
            counts.add(&of_counts);
        }
        let pooler = graph.pooler(self.states, config)?;
        let is_stored = counts.coded > 0 || counts.fixed > 0;
        let epsilon = Some(self.epsilon).filter(|&epsilon| !is_near(epsilon, config.layer_norm_eps));
        if let Some(epsilon) = epsilon {
            notes.push(format!(
                "layer normalisations add {epsilon:e} to the variance, as the graph says; layer_norm_eps of config.json, {:e}, is not used",
                config.layer_norm_eps
            ));
        }
        notes.extend(counts.notes());
        Ok(Read {
            weights: EncoderWeights { embeddings: embeddings.into(), layers, pooler },
            codes: is_stored.then_some(codes),
            epsilon,
            pooling: None,
            notes,
        })
    }
}

impl Layer<'_> {
    fn load(&self, graph: &Graph, config: &EncoderConfig, i: usize) -> Result<(LayerWeights, LayerCodes, Counts)> {
        let (hidden, shapes) = (config.hidden_size, config.linear_shapes());
        let mut counts = Counts::default();
        let mut linear = |product: &Product<'_>, name: &str, size| -> Result<(Linear, _)> {
            let loaded = graph.load(product, &format!("layer {i}, {name}"), size)?;
            counts.linear(&loaded);
            Ok((loaded.linear, loaded.codes))
        };
        let [q, k, v] = &self.attention.linears;
        let ((q, sq), (k, sk)) = (linear(q, "q", shapes[0])?, linear(k, "k", shapes[1])?);
        let ((v, sv), (o, so)) = (linear(v, "v", shapes[2])?, linear(&self.o, "o", shapes[3])?);
        let (up, su) = linear(&self.up, "up", shapes[4])?;
        let (down, sd) = linear(&self.down, "down", shapes[5])?;
        let attn_in = self.attention.input_rounding();
        for rounding in [attn_in.unwrap_or(Rounding::Other), self.o.rounding, self.up.rounding, self.down.rounding] {
            counts.input(rounding);
        }
        let [query, key, value] = self.attention.roundings;
        // Keys and values are s8 symmetric.
        let symmetric =
            |quant: Option<TensorQuant>| Some(quant?.scale).filter(|_| quant.is_some_and(|q| q.zero_point == 128));
        let codes = LayerCodes {
            linears: [sq, sk, sv, so, su, sd],
            attn_in: attn_in.and_then(fixed),
            attn_out: fixed(self.o.rounding),
            ffn_in: fixed(self.up.rounding),
            gelu_out: fixed(self.down.rounding),
            query,
            key: symmetric(key),
            value: symmetric(value),
        };
        let taken = [query.is_some(), codes.key.is_some(), codes.value.is_some()];
        counts.attention(self.attention.rounded, taken);
        let weights = LayerWeights {
            q,
            k,
            v,
            o,
            attention_norm: graph.load_norm(&self.attention_norm, &format!("layer {i}, attention"), hidden)?,
            up,
            down,
            output_norm: graph.load_norm(&self.output_norm, &format!("layer {i}, output"), hidden)?,
        };
        Ok((weights, codes, counts))
    }
}

fn fixed(rounding: Rounding) -> Option<TensorQuant> {
    match rounding {
        Rounding::Fixed(quant) => Some(quant),
        _ => None,
    }
}
