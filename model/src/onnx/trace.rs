//! From the last hidden state back to the embeddings, layer by layer.

use rayon::prelude::*;

use super::attention::Attention;
use super::embeddings::Embeddings;
use super::graph::{Graph, named, output};
use super::norm::Norm;
use super::product::{Loaded, Product, Rounding};
use crate::codes::{FileCodes, LayerCodes, TensorQuant};
use crate::config::EncoderConfig;
use crate::error::Result;
use crate::heads::DenseActivation;
use crate::weights::{EncoderWeights, LayerWeights, Linear};

/// Largest relative difference between the epsilon of the graph and that of `config.json`: it may have been f16.
const EPSILON_TOLERANCE: f32 = 1e-3;

/// An encoder as nodes.
pub(super) struct Traced<'g> {
    /// The last hidden state.
    pub(super) states: &'g str,
    embeddings: Embeddings<'g>,
    /// In the order they run.
    layers: Vec<Layer<'g>>,
}

/// An encoder layer as nodes.
struct Layer<'g> {
    attention: Attention<'g>,
    o: Product<'g>,
    attention_norm: Norm<'g>,
    up: Product<'g>,
    down: Product<'g>,
    output_norm: Norm<'g>,
}

/// What a graph holds.
pub(crate) struct Read {
    pub(crate) weights: EncoderWeights,
    /// Codes and scales, if there are any.
    pub(crate) codes: Option<FileCodes>,
    /// What a reader should know.
    pub(crate) notes: Vec<String>,
}

impl Graph {
    /// Follows the graph from its last layer normalisation behind a residual to the embeddings.
    pub(super) fn trace<'g>(&'g self, config: &EncoderConfig) -> Result<Traced<'g>> {
        let residual =
            |norm: &Norm<'g>| self.residuals(norm.input).iter().any(|(linear, _)| self.product(linear).is_some());
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
        Ok(Traced { states: last.value, embeddings, layers })
    }

    /// The two ways to read a sum: linear layer and residual.
    fn residuals<'g>(&'g self, value: &'g str) -> Vec<(&'g str, &'g str)> {
        let sum = self.root(value);
        match self.maker(sum).filter(|node| node.op_type == "Add").map(|node| &node.input[..]) {
            Some([a, b]) if self.is_tainted(a) && self.is_tainted(b) => vec![(a, b), (b, a)],
            _ => vec![],
        }
    }

    fn layer<'g>(&'g self, output_norm: Norm<'g>, config: &EncoderConfig) -> Result<(Layer<'g>, &'g str)> {
        self.check_epsilon(&output_norm, config)?;
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
        self.check_epsilon(&attention_norm, config)?;
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
        for (linear, residual) in self.residuals(sum) {
            match self.product(linear).map(|product| read(product, residual)) {
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

    fn check_epsilon(&self, norm: &Norm<'_>, config: &EncoderConfig) -> Result<()> {
        let (found, expected) = (norm.epsilon, config.layer_norm_eps);
        match (found - expected).abs() <= EPSILON_TOLERANCE * expected {
            true => Ok(()),
            false => {
                let what = format!("the epsilon of {}", self.describe(norm.value));
                Err(self.differs(what, found, format!("layer_norm_eps {expected}")).into())
            }
        }
    }
}

impl Traced<'_> {
    /// Reads all weights; layers in parallel.
    pub(super) fn load(&self, graph: &Graph, config: &EncoderConfig) -> Result<Read> {
        graph.check_epsilon(&self.embeddings.norm, config)?;
        let mut embeddings = graph.load_embeddings(&self.embeddings, config)?;
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
        Ok(Read {
            weights: EncoderWeights { embeddings: embeddings.into(), layers, pooler },
            codes: is_stored.then_some(codes),
            notes: counts.notes(),
        })
    }
}

impl Layer<'_> {
    fn load(&self, graph: &Graph, config: &EncoderConfig, i: usize) -> Result<(LayerWeights, LayerCodes, Counts)> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let mut counts = Counts::default();
        let mut linear = |product: &Product<'_>, name: &str, size| -> Result<(Linear, _)> {
            let loaded = graph.load(product, &format!("layer {i}, {name}"), size)?;
            counts.linear(&loaded);
            Ok((loaded.linear, loaded.codes))
        };
        let [q, k, v] = &self.attention.linears;
        let ((q, sq), (k, sk)) = (linear(q, "q", (hidden, hidden))?, linear(k, "k", (hidden, hidden))?);
        let ((v, sv), (o, so)) = (linear(v, "v", (hidden, hidden))?, linear(&self.o, "o", (hidden, hidden))?);
        let (up, su) = linear(&self.up, "up", (inner, hidden))?;
        let (down, sd) = linear(&self.down, "down", (hidden, inner))?;
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

/// Counts of what was taken from the file unchanged, and what was not.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    linears: usize,
    coded: usize,
    inexact: usize,
    inputs: usize,
    fixed: usize,
    dynamic: usize,
    other: usize,
    /// Layers whose attention rounds q, k or v.
    attention: usize,
    /// Of those, layers with the rounding of q, k, v taken.
    taken: [usize; 3],
}

impl Counts {
    fn linear(&mut self, loaded: &Loaded) {
        self.linears += 1;
        self.coded += usize::from(loaded.codes.is_some());
        self.inexact += usize::from(loaded.inexact);
    }

    fn input(&mut self, rounding: Rounding) {
        self.inputs += 1;
        match rounding {
            Rounding::None => {}
            Rounding::Dynamic => self.dynamic += 1,
            Rounding::Fixed(_) => self.fixed += 1,
            Rounding::Other => self.other += 1,
        }
    }

    fn attention(&mut self, rounded: bool, taken: [bool; 3]) {
        self.attention += usize::from(rounded);
        self.taken.iter_mut().zip(taken).for_each(|(count, taken)| *count += usize::from(taken));
    }

    fn add(&mut self, other: &Counts) {
        self.linears += other.linears;
        self.coded += other.coded;
        self.inexact += other.inexact;
        self.inputs += other.inputs;
        self.fixed += other.fixed;
        self.dynamic += other.dynamic;
        self.other += other.other;
        self.attention += other.attention;
        self.taken.iter_mut().zip(other.taken).for_each(|(count, taken)| *count += taken);
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let Counts { linears, coded, inexact, inputs, fixed, dynamic, other, attention, taken } = *self;
        if coded > 0 {
            notes.push(format!("the s8 codes of {coded} of {linears} linear layers are those of the file, so their inputs have one scale each, and smoothing is not used for them"));
        }
        if inexact > 0 {
            notes.push(format!(
                "{inexact} of {linears} linear layers have codes in the file that do not fit s8 with a scale per output (another zero \
                 point, or a scale per input): they were read as f32 and are quantised again"
            ));
        }
        if fixed > 0 {
            notes.push(format!(
                "scales and zero points of {fixed} of {inputs} inputs of linear layers are those of the file"
            ));
        }
        if dynamic > 0 {
            notes.push(format!("{dynamic} of {inputs} inputs of linear layers have no scale in the file, because the graph finds it at run time: calibrated instead"));
        }
        if other > 0 {
            notes.push(format!("{other} of {inputs} inputs of linear layers have different scales in the file for the layers that read them: calibrated instead"));
        }
        if attention > 0 {
            let [q, k, v] = taken;
            notes.push(format!(
                "attention is quantised in {attention} layers of the file: scales taken for q in {q}, k in {k}, v in {v}; calibrated \
                 elsewhere (keys and values must be symmetric)"
            ));
        }
        notes
    }
}
