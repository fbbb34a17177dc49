//! Nodes that change only the shape or the rounding of a hidden state, and numbers that depend on shapes.

use super::graph::{Graph, attribute, input, output, whole};
use super::tensor::Data;
use crate::codes::TensorQuant;
use crate::proto::NodeProto;

/// Deepest nesting of expressions of numbers and shapes.
const MAX_DEPTH: usize = 32;

/// What a node does to the value that goes through it.
#[derive(Clone, Copy)]
pub(super) enum Pass<'g> {
    /// Nothing: Identity, Cast, Dropout, DequantizeLinear.
    Same,
    /// Another shape, the same elements in the same order.
    Reshape(&'g NodeProto),
    /// Another order of dimensions.
    Transpose(&'g NodeProto),
    /// Rounding.
    Quantise(&'g NodeProto),
    /// Multiplication with a number.
    Scale(f32),
}

impl Graph {
    /// The value before `value`, if one node lies between them that lets it through.
    pub(super) fn pass(&self, value: &str) -> Option<(&str, Pass<'_>)> {
        if !self.is_tainted(value) {
            return None;
        }
        let node = self.maker(value).filter(|node| output(node) == value)?;
        let first = input(node, 0)?;
        let (before, pass) = match &*node.op_type {
            "Identity" | "Cast" | "Dropout" | "DequantizeLinear" => (first, Pass::Same),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => (first, Pass::Reshape(node)),
            "Transpose" => (first, Pass::Transpose(node)),
            "QuantizeLinear" | "DynamicQuantizeLinear" => (first, Pass::Quantise(node)),
            // What exporters of PyTorch put behind a softmax: rows of padding alone become 0.
            "Where" if self.maker(first).is_some_and(|node| node.op_type == "IsNaN") => (input(node, 2)?, Pass::Same),
            "Mul" => match (self.number(first), input(node, 1)) {
                (Some(factor), Some(second)) => (second, Pass::Scale(factor)),
                (None, second) => (first, Pass::Scale(self.number(second?)?)),
                _ => return None,
            },
            "Div" => (first, Pass::Scale(self.number(input(node, 1)?)?.recip())),
            _ => return None,
        };
        self.is_tainted(before).then_some((before, pass))
    }

    /// The value that `value` is but for its shape and its rounding.
    pub(super) fn root<'g>(&'g self, value: &'g str) -> &'g str {
        self.root_and_rounding(value).0
    }

    /// The same, and how it was rounded last.
    pub(super) fn root_and_rounding<'g>(&'g self, mut value: &'g str) -> (&'g str, Option<&'g NodeProto>) {
        let mut rounding = None;
        while let Some((before, pass)) = self.pass(value) {
            match pass {
                Pass::Same | Pass::Reshape(_) => {}
                Pass::Quantise(node) => rounding = rounding.or(Some(node)),
                Pass::Transpose(_) | Pass::Scale(_) => break,
            }
            value = before;
        }
        (value, rounding)
    }

    /// Scale and zero point of a QuantizeLinear; none if they are found when the graph runs, or are not one of each.
    pub(super) fn rounding(&self, node: &NodeProto) -> Option<TensorQuant> {
        match &*node.op_type {
            "QuantizeLinear" => self.tensor_quant(input(node, 1)?, input(node, 2)),
            _ => None,
        }
    }

    /// One scale and one zero point, as of unsigned codes.
    pub(super) fn tensor_quant(&self, scale: &str, zero: Option<&str>) -> Option<TensorQuant> {
        let scale = self.scalar(scale).filter(|scale| scale.is_normal() && *scale > 0.0)?;
        let zero_point = match zero {
            None => 0,
            Some(zero) if self.is_constant(zero) => match &self.fold(zero).ok()?.tensor.data {
                Data::Unsigned(zero) if zero.len() == 1 => *zero.first()?,
                // Codes of -128 to 127 are those of 0 to 255, less 128.
                Data::Signed(zero) if zero.len() == 1 => zero.first()?.cast_unsigned() ^ 0x80,
                _ => return None,
            },
            Some(_) => return None,
        };
        Some(TensorQuant { scale, zero_point })
    }

    /// A single number: a constant, or made of constants and sizes of features.
    pub(super) fn number(&self, value: &str) -> Option<f32> {
        self.number_at(value, 0)
    }

    fn number_at(&self, value: &str, depth: usize) -> Option<f32> {
        if self.is_constant(value) {
            return self.scalar(value);
        }
        if self.is_tainted(value) || depth > MAX_DEPTH {
            return None;
        }
        let node = self.maker(value)?;
        let operand = |i| self.number_at(input(node, i)?, depth + 1);
        match &*node.op_type {
            "Identity" | "Cast" | "Squeeze" | "Unsqueeze" | "Reshape" => operand(0),
            "Sqrt" => operand(0).map(f32::sqrt),
            "Reciprocal" => operand(0).map(f32::recip),
            "Div" => Some(operand(0)? / operand(1)?),
            "Mul" => Some(operand(0)? * operand(1)?),
            "Pow" => Some(operand(0)?.powf(operand(1)?)),
            // The last entry of a shape.
            "Gather" | "Slice" => {
                let shape = self.maker(input(node, 0)?).filter(|node| node.op_type == "Shape")?;
                let at = *self.wholes(input(node, 1)?)?.first()?;
                let last = at == -1 || (at == 3 && self.rank(input(shape, 0)?) == Some(4));
                (last && attribute(shape, "start").is_none()).then_some(())?;
                self.features(input(shape, 0)?, depth + 1).map(|features| features as f32)
            }
            _ => None,
        }
    }

    fn rank(&self, value: &str) -> Option<usize> {
        let node = self.maker(value)?;
        match &*node.op_type {
            "Transpose" => Some(attribute(node, "perm")?.ints.len()),
            "Reshape" => Some(self.partial_shape(input(node, 1)?)?.len()),
            _ => None,
        }
    }

    /// The size of the last dimension of a hidden state that was reshaped.
    fn features(&self, value: &str, depth: usize) -> Option<i64> {
        let node = self.maker(value).filter(|_| depth <= MAX_DEPTH)?;
        match &*node.op_type {
            "Reshape" => self.partial_shape(input(node, 1)?)?.last().copied().flatten(),
            "Transpose" => {
                let order = &attribute(node, "perm")?.ints;
                let last = order.last().copied()?;
                (last + 1 == order.len() as i64).then(|| self.features(input(node, 0)?, depth + 1))?
            }
            "Identity" | "Cast" | "QuantizeLinear" | "DequantizeLinear" => self.features(input(node, 0)?, depth + 1),
            _ => None,
        }
    }

    /// What is known of a shape: positive sizes.
    pub(super) fn partial_shape(&self, value: &str) -> Option<Vec<Option<i64>>> {
        let known = |sizes: Vec<i64>| sizes.into_iter().map(|size| Some(size).filter(|&size| size > 0)).collect();
        if self.is_constant(value) {
            return self.wholes(value).map(known);
        }
        let node = self.maker(value)?;
        match &*node.op_type {
            "Concat" => Some(
                node.input
                    .iter()
                    .flat_map(|part| match self.is_constant(part) {
                        true => self.wholes(part).map_or_else(|| vec![None], known),
                        // The leading sizes of another shape, in one piece.
                        false => vec![None; self.entries(part).unwrap_or(1)],
                    })
                    .collect(),
            ),
            "Cast" | "Identity" => self.partial_shape(input(node, 0)?),
            _ => None,
        }
    }

    /// How many entries a part of a shape has, where more than one.
    fn entries(&self, value: &str) -> Option<usize> {
        let node = self.maker(value)?;
        match &*node.op_type {
            "Slice" => {
                let (from, to) = (self.wholes(input(node, 1)?)?, self.wholes(input(node, 2)?)?);
                match (from[..].first()?, to[..].first()?) {
                    (&from, &to) if from >= 0 && (from..from + 8).contains(&to) => usize::try_from(to - from).ok(),
                    (0, -1) => Some(2), // all but the features
                    _ => None,
                }
            }
            // Tokens: batch and sequence.
            "Shape" => {
                let tokens = self.is_input(input(node, 0)?);
                let (from, to) = (whole(node, "start").unwrap_or(0), whole(node, "end"));
                match (tokens, from, to) {
                    (true, 0, None) => Some(2),
                    (_, from @ 0.., Some(to)) if (from..from + 8).contains(&to) => usize::try_from(to - from).ok(),
                    (_, 0, Some(-1)) => Some(2),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}
