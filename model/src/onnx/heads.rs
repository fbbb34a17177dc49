//! What a graph has behind its last layer.

use super::chain::Pass;
use super::graph::Graph;
use super::node::{attribute, input, output};
use super::product::Product;
use crate::architecture::Architecture;
use crate::config::{Activation, EncoderConfig};
use crate::error::OnnxError;
use crate::error::Result;
use crate::heads::{Dense, DenseActivation, HeadConfig, HeadKind, HeadWeights, Transform};
use crate::weights::Linear;

impl Graph {
    /// The pooler: tanh of a linear layer of the first token.
    pub(super) fn pooler(&self, states: &str, config: &EncoderConfig) -> Result<Option<Linear>> {
        if !config.architecture.has_pooler() {
            return Ok(None);
        }
        // RoBERTa's classification has a layer of the same form, and is no pooler; it is followed by another.
        let tanhs = self.nodes().filter(|node| node.op_type == "Tanh");
        let mut layers = tanhs.filter_map(|node| self.product(input(node, 0)?));
        // A projection behind pooling may have the same form, with other features.
        let pooler = layers.find(|layer| {
            let is_square = || self.rows(layer).is_ok_and(|rows| rows == config.hidden_size);
            self.token(layer.input, states) == Some(Token::First) && is_square()
        });
        let is_head =
            matches!(config.architecture, Architecture::Roberta | Architecture::XlmRoberta | Architecture::Camembert);
        match pooler {
            Some(product) if !is_head || self.is_pooled(&product) => {
                let size = (config.hidden_size, config.hidden_size);
                Ok(Some(self.load(&product, "the pooler", size)?.linear))
            }
            _ => Ok(None),
        }
    }

    /// Whether a layer's tanh is an output of the graph.
    fn is_pooled(&self, product: &Product<'_>) -> bool {
        self.outputs().any(|name| {
            self.maker(self.root(name)).is_some_and(|node| {
                node.op_type == "Tanh"
                    && input(node, 0)
                        .and_then(|x| self.product(x))
                        .is_some_and(|p| output(p.node) == output(product.node))
            })
        })
    }

    /// The weights of a head, and the value that its last linear layer makes.
    pub(super) fn head(&self, states: &str, config: &EncoderConfig, head: &HeadConfig) -> Result<(HeadWeights, &str)> {
        let outputs: Vec<Product<'_>> = self.outputs().filter_map(|name| self.logits(name)).collect();
        let read = |product: &Product<'_>| -> Result<Option<HeadWeights>> {
            match head.kind {
                HeadKind::SequenceClassification => self.first(product, states, config, head),
                HeadKind::TokenClassification | HeadKind::QuestionAnswering => self.each(product, states, config, head),
                HeadKind::MaskedLm => self.vocabulary(product, states, config),
            }
        };
        for product in &outputs {
            if let Some(weights) = read(product)? {
                return Ok((weights, output(product.node)));
            }
        }
        let reason = match outputs.len() {
            0 => "no output of the graph is a linear layer: it was exported without its head".into(),
            n => format!(
                "{n} outputs of the graph are linear layers, none of them behind what such a head has before it"
            ),
        };
        Err(OnnxError::Head { path: self.file.path.clone(), expected: head.kind.class(), reason }.into())
    }

    /// The linear layer that an output is, or a part of.
    pub(super) fn logits<'g>(&'g self, name: &'g str) -> Option<Product<'g>> {
        let mut value = name;
        loop {
            if let Some(product) = self.product(value) {
                return Some(product);
            }
            let node = self.maker(value)?;
            value = match &*node.op_type {
                "Split" | "Squeeze" | "Softmax" | "Sigmoid" | "Identity" => input(node, 0)?,
                // Of labels, not of tokens.
                "Gather" if matches!(super::node::whole(node, "axis"), Some(-1 | 2)) => input(node, 0)?,
                "Slice" => {
                    let axes = match attribute(node, "axes") {
                        Some(axes) => axes.ints.clone(),
                        None => self.wholes(input(node, 3)?)?,
                    };
                    matches!(axes[..], [-1 | 2]).then_some(())?;
                    input(node, 0)?
                }
                _ => self.pass(value)?.0,
            };
        }
    }

    fn first(
        &self,
        out: &Product<'_>,
        states: &str,
        config: &EncoderConfig,
        head: &HeadConfig,
    ) -> Result<Option<HeadWeights>> {
        let Ok((activation, dense)) = self.function(out.input) else { return Ok(None) };
        if self.token(dense.input, states) != Some(Token::First) {
            return Ok(None);
        }
        let expected = match config.architecture {
            Architecture::DistilBert => DenseActivation::Feature(Activation::Relu),
            Architecture::Electra => DenseActivation::Feature(Activation::Gelu),
            _ => DenseActivation::Tanh,
        };
        if activation != expected {
            let what = format!("the activation behind {}", self.describe(output(dense.node)));
            return Err(self
                .differs(what, format!("{activation:?}"), format!("an architecture with {expected:?}"))
                .into());
        }
        let size = (config.hidden_size, config.hidden_size);
        let linear = self.load(&dense, "the dense layer of the head", size)?.linear;
        let out = self.labelled(out, config.hidden_size, head)?;
        Ok(Some(HeadWeights::First { dense: Dense { linear, activation }, out }))
    }

    fn each(
        &self,
        out: &Product<'_>,
        states: &str,
        config: &EncoderConfig,
        head: &HeadConfig,
    ) -> Result<Option<HeadWeights>> {
        match self.token(out.input, states) {
            Some(Token::Every) => Ok(Some(HeadWeights::Each(self.labelled(out, config.hidden_size, head)?))),
            _ => Ok(None),
        }
    }

    /// The layer with a row per label: as many as `config.json` names, or as there are.
    fn labelled(&self, out: &Product<'_>, features: usize, head: &HeadConfig) -> Result<Linear> {
        let rows = match head.kind {
            HeadKind::QuestionAnswering => 2,
            _ if head.labels.is_empty() => self.rows(out)?,
            _ => head.labels.len(),
        };
        Ok(self.load(out, "the output layer of the head", (rows, features))?.linear)
    }

    fn vocabulary(&self, out: &Product<'_>, states: &str, config: &EncoderConfig) -> Result<Option<HeadWeights>> {
        let Some(norm) = self.norm(out.input) else { return Ok(None) };
        let Ok((function, dense)) = self.function(norm.input) else { return Ok(None) };
        let DenseActivation::Feature(activation) = function else { return Ok(None) };
        if self.token(dense.input, states) != Some(Token::Every) {
            return Ok(None);
        }
        let features = config.embedding_features();
        Ok(Some(HeadWeights::Vocabulary {
            transform: Transform {
                linear: self.load(&dense, "the transform of the head", (features, config.hidden_size))?.linear,
                activation,
                norm: self.load_norm(&norm, "the layer normalisation of the head", features)?,
                epsilon: norm.epsilon,
            },
            decoder: self.load(out, "the decoder of the head", (config.vocab_size, features))?.linear,
        }))
    }

    /// Which tokens of the last hidden states a value holds.
    pub(super) fn token<'g>(&'g self, mut value: &'g str, states: &str) -> Option<Token> {
        let mut token = Token::Every;
        loop {
            if value == states {
                return Some(token);
            }
            let node = self.maker(value)?;
            let wholes = |i| input(node, i).and_then(|x| self.wholes(x));
            let bounds = |i, name| match attribute(node, name) {
                Some(bounds) => Some(bounds.ints.clone()), // before operator set 10
                None => wholes(i),
            };
            value = match &*node.op_type {
                "Gather" if super::node::whole(node, "axis") == Some(1) && wholes(1)?[..] == [0] => {
                    token = Token::First;
                    input(node, 0)?
                }
                "Slice" => {
                    let (from, to) = (bounds(1, "starts")?, bounds(2, "ends")?);
                    let axes = bounds(3, "axes").unwrap_or_else(|| vec![0]);
                    match (&from[..], &to[..], &axes[..]) {
                        ([0], [1], [1]) => token = Token::First,
                        ([0], [all], _) if *all >= i64::from(i32::MAX) => {}
                        _ => return None,
                    }
                    input(node, 0)?
                }
                _ => match self.pass(value)? {
                    (before, Pass::Same | Pass::Reshape(_) | Pass::Quantise(_)) => before,
                    _ => return None,
                },
            };
        }
    }
}

/// Which tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    First,
    Every,
}
