//! The arithmetic of heads.

use serde::{Deserialize, Serialize};

use crate::config::Activation;
use crate::matrix::Matrix;
use crate::reference::{activate, layer_norm, linear};
use crate::weights::{LayerNorm, Linear};

/// The function after the dense layer of a sequence classification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DenseActivation {
    /// BERT's pooler, and RoBERTa.
    Tanh,
    /// DistilBERT: ReLU; ELECTRA: GELU.
    Feature(Activation),
}

/// The dense layer of a sequence classification, `hidden x hidden`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// Weight and bias.
    pub linear: Linear,
    /// What follows it.
    pub activation: DenseActivation,
}

/// What leads from a hidden state to the width of the word embeddings.
#[derive(Debug, Clone, PartialEq)]
pub struct Transform {
    /// Weight and bias, `[embedding][hidden]`.
    pub linear: Linear,
    /// What follows it.
    pub activation: Activation,
    /// The layer normalisation at its end.
    pub norm: LayerNorm,
    /// What the normalisation adds to the variance.
    pub epsilon: f32,
}

/// The weights of a head.
#[derive(Debug, Clone, PartialEq)]
pub enum HeadWeights {
    /// `out(activation(dense(x[0])))`.
    First {
        /// The first layer.
        dense: Dense,
        /// The second, to the logits.
        out: Linear,
    },
    /// `out(x[n])` of every token.
    Each(Linear),
    /// `decoder(norm(activation(dense(x[n]))))` of every token.
    Vocabulary {
        /// To the width of the word embeddings.
        transform: Transform,
        /// To the vocabulary.
        decoder: Linear,
    },
}

impl HeadWeights {
    /// Refuses weights that cannot take the place of `other`: what was found, and what was expected.
    pub(super) fn check_like(&self, other: &HeadWeights) -> Result<(), (String, String)> {
        let (found, expected) = (self.parts(), other.parts());
        let shapes = |parts: &[&Linear]| {
            let shapes: Vec<String> =
                parts.iter().map(|part| format!("{} x {}", part.outputs(), part.inputs())).collect();
            shapes.join(", ")
        };
        let is_whole = |part: &Linear| {
            part.weight.data.len() == part.outputs() * part.inputs() && part.bias.len() == part.outputs()
        };
        let same_kind = std::mem::discriminant(self) == std::mem::discriminant(other);
        if !same_kind || shapes(&found) != shapes(&expected) || !found.iter().all(|part| is_whole(part)) {
            return Err((format!("layers of {}", shapes(&found)), shapes(&expected)));
        }
        let values = found.iter().flat_map(|part| part.weight.data.iter().chain(&part.bias));
        match values.filter(|value| !value.is_finite()).count() {
            0 => Ok(()),
            count => Err((format!("{count} values that are not finite"), "finite values".into())),
        }
    }

    /// The linear layers, in the order they run.
    fn parts(&self) -> Vec<&Linear> {
        match self {
            HeadWeights::First { dense, out } => vec![&dense.linear, out],
            HeadWeights::Each(out) => vec![out],
            HeadWeights::Vocabulary { transform, decoder } => vec![&transform.linear, decoder],
        }
    }

    /// Features of the hidden states.
    pub fn inputs(&self) -> usize {
        match self {
            HeadWeights::First { dense, .. } => dense.linear.inputs(),
            HeadWeights::Each(out) => out.inputs(),
            HeadWeights::Vocabulary { transform, .. } => transform.linear.inputs(),
        }
    }

    /// Logits per row.
    pub fn outputs(&self) -> usize {
        match self {
            HeadWeights::First { out, .. } | HeadWeights::Each(out) => out.outputs(),
            HeadWeights::Vocabulary { decoder, .. } => decoder.outputs(),
        }
    }

    /// Weights and biases.
    pub fn parameters(&self) -> usize {
        let linear = |linear: &Linear| linear.weight.data.len() + linear.bias.len();
        match self {
            HeadWeights::First { dense, out } => linear(&dense.linear) + linear(out),
            HeadWeights::Each(out) => linear(out),
            HeadWeights::Vocabulary { transform, decoder } => {
                let norm = transform.norm.gamma.len() + transform.norm.beta.len();
                linear(&transform.linear) + norm + linear(decoder)
            }
        }
    }

    /// The logits of hidden states whose shape was checked.
    pub fn logits(&self, states: &Matrix) -> Matrix {
        match self {
            HeadWeights::First { dense, out } => {
                let first = Matrix { rows: 1, cols: states.cols, data: states.row(0).to_vec() };
                let mut x = linear(&first, &dense.linear);
                match dense.activation {
                    DenseActivation::Tanh => x.data.iter_mut().for_each(|x| *x = x.tanh()),
                    DenseActivation::Feature(activation) => activate(activation, &mut x.data),
                }
                linear(&x, out)
            }
            HeadWeights::Each(out) => linear(states, out),
            HeadWeights::Vocabulary { transform, decoder } => {
                let mut x = linear(states, &transform.linear);
                activate(transform.activation, &mut x.data);
                layer_norm(&mut x, &transform.norm, transform.epsilon);
                linear(&x, decoder)
            }
        }
    }
}
