//! Layer normalisations, as one operator or written out.

use super::chain::Pass;
use super::graph::Graph;
use super::node::{attribute, input, number, output, whole};
use crate::error::Result;
use crate::proto::NodeProto;
use crate::weights::LayerNorm;

/// What an exporter that leaves out `epsilon` means.
const DEFAULT_EPSILON: f32 = 1e-5;

/// A layer normalisation as nodes.
#[derive(Clone, Copy)]
pub(super) struct Norm<'g> {
    /// What it makes.
    pub(super) value: &'g str,
    pub(super) input: &'g str,
    gamma: &'g str,
    beta: Option<&'g str>,
    pub(super) epsilon: f32,
}

impl Graph {
    /// The layer normalisation that makes a value.
    pub(super) fn norm<'g>(&'g self, value: &'g str) -> Option<Norm<'g>> {
        let node = self.maker(value).filter(|node| self.is_tainted(value) && output(node) == value)?;
        if node.op_type == "LayerNormalization" {
            let (gamma, beta) = (input(node, 1).filter(|gamma| self.is_constant(gamma))?, input(node, 2));
            let fits = whole(node, "axis").unwrap_or(-1) != 0 && beta.is_none_or(|beta| self.is_constant(beta));
            let epsilon = number(node, "epsilon").unwrap_or(DEFAULT_EPSILON);
            return fits.then(|| Some(Norm { value, input: input(node, 0)?, gamma, beta, epsilon }))?;
        }
        // ((x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon)) gamma + beta
        let (beta, scaled) = self.with_constant(value, "Add")?;
        let (gamma, normal) = self.with_constant(scaled, "Mul")?;
        let (deviation, root) = self.operands(normal, "Div")?;
        let sum = self.same(input(self.operator(root, "Sqrt")?, 0)?);
        let (epsilon, variance) = self.with_constant(sum, "Add")?;
        let square = self.mean(variance)?;
        let (a, b) = match self.operands(square, "Pow") {
            Some((base, power)) => (base, (self.scalar(power)? == 2.0).then_some(base)?),
            None => self.operands(square, "Mul")?,
        };
        let (x, mean) = self.operands(deviation, "Sub")?;
        let same = |value| self.operands(value, "Sub") == Some((x, mean));
        let fits = same(a) && same(b) && self.mean(mean)? == x;
        let epsilon = self.scalar(epsilon)?;
        fits.then_some(Norm { value, input: x, gamma, beta: Some(beta), epsilon })
    }

    /// Its weights, of so many features.
    pub(super) fn load_norm(&self, norm: &Norm<'_>, what: &str, features: usize) -> Result<LayerNorm> {
        let vector = |name: &str| -> Result<Vec<f32>> {
            let constant = self.fold(name)?;
            let values = self.finite(&constant.tensor, name, what)?;
            match values.len() == features {
                true => Ok(values.to_vec()),
                false => Err(self.differs(format!("{what}, {}", self.describe(name)), values.len(), features).into()),
            }
        };
        let beta = norm.beta.map_or_else(|| Ok(vec![0.0; features]), vector)?;
        Ok(LayerNorm { gamma: vector(norm.gamma)?, beta })
    }

    fn operator<'g>(&'g self, value: &'g str, operator: &str) -> Option<&'g NodeProto> {
        self.maker(value).filter(|node| node.op_type == operator)
    }

    fn operands<'g>(&'g self, value: &'g str, operator: &str) -> Option<(&'g str, &'g str)> {
        let node = self.operator(value, operator)?;
        Some((self.same(input(node, 0)?), self.same(input(node, 1)?)))
    }

    /// The constant and the other operand of a sum or product.
    fn with_constant<'g>(&'g self, value: &'g str, operator: &str) -> Option<(&'g str, &'g str)> {
        let (a, b) = self.operands(value, operator)?;
        match (self.is_constant(a), self.is_constant(b)) {
            (true, false) => Some((a, b)),
            (false, true) => Some((b, a)),
            _ => None,
        }
    }

    /// The value before casts and roundings, which quantisers put at every step.
    pub(super) fn same<'g>(&'g self, mut value: &'g str) -> &'g str {
        while let Some((before, Pass::Same | Pass::Quantise(_))) = self.pass(value) {
            value = before;
        }
        value
    }

    /// What a value is the mean of, over the features.
    fn mean<'g>(&'g self, value: &'g str) -> Option<&'g str> {
        let node = self.operator(value, "ReduceMean")?;
        let axes = match (attribute(node, "axes"), input(node, 1)) {
            (Some(axes), _) => axes.ints.clone(),
            (None, axes) => self.wholes(axes?)?,
        };
        (matches!(axes[..], [-1 | 1 | 2]) && whole(node, "keepdims").unwrap_or(1) == 1).then_some(())?;
        input(node, 0).map(|x| self.same(x))
    }
}
