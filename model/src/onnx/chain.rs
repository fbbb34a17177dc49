//! Nodes that change only the shape or the rounding of a hidden state, and numbers that depend on shapes.

use std::sync::PoisonError;

use super::found::Root;
use super::graph::Graph;
use super::node::{attribute, input, output, whole};
use super::tensor::{Data, is_float};
use crate::codes::TensorQuant;
use crate::proto::NodeProto;

/// Deepest nesting of expressions of numbers and shapes.
pub(super) const MAX_DEPTH: usize = 32;

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
            "Identity" | "CastLike" | "Dropout" | "DequantizeLinear" => (first, Pass::Same),
            // Integers and bool are no rounding of floats.
            "Cast" if whole(node, "to").is_some_and(is_float) => (first, Pass::Same),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => (first, Pass::Reshape(node)),
            "Transpose" => (first, Pass::Transpose(node)),
            "QuantizeLinear" | "DynamicQuantizeLinear" => (first, Pass::Quantise(node)),
            // What exporters of PyTorch put behind a softmax: rows of padding alone become 0.
            "Where" if self.is_nan_of(first, input(node, 2)?) => (input(node, 2)?, Pass::Same),
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

    /// Whether a condition asks where a value is NaN.
    fn is_nan_of(&self, condition: &str, value: &str) -> bool {
        self.maker(condition).is_some_and(|node| node.op_type == "IsNaN" && input(node, 0) == Some(value))
    }

    /// The value that `value` is but for its shape and its rounding.
    pub(super) fn root<'g>(&'g self, value: &'g str) -> &'g str {
        self.root_and_rounding(value).0
    }

    /// The same, and how it was rounded last. Every node of the way remembers the end of it, so many walks over one chain take as
    /// many steps as the chain has nodes.
    pub(super) fn root_and_rounding<'g>(&'g self, start: &'g str) -> (&'g str, Option<&'g NodeProto>) {
        let (mut value, mut way) = (start, Vec::new());
        let mut end = Root { value: None, rounding: None };
        while let Some(place) = self.place(value) {
            let is_first = self.at(place).is_some_and(|node| output(node) == value);
            if let Some(root) = self.roots.get(place).filter(|_| is_first).and_then(|root| root.get()) {
                end = *root;
                break;
            }
            let (before, rounds) = match self.pass(value) {
                Some((before, Pass::Same | Pass::Reshape(_))) => (before, false),
                Some((before, Pass::Quantise(_))) => (before, true),
                _ => break,
            };
            let Some(i) = self.at(place).and_then(|node| node.input.iter().position(|input| input == before)) else {
                break;
            };
            way.push((place, i, rounds));
            value = before;
        }
        for (place, i, rounds) in way.into_iter().rev() {
            end = Root {
                value: end.value.or(Some((place, i))),
                rounding: if rounds { Some(place) } else { end.rounding },
            };
            if let Some(root) = self.roots.get(place) {
                let _ = root.set(end); // another thread may have found the same
            }
        }
        let value = end.value.and_then(|(place, i)| self.at(place)?.input.get(i));
        (value.map_or(start, String::as_str), end.rounding.and_then(|place| self.at(place)))
    }

    /// Scale and zero point of a QuantizeLinear; none if they are found when the graph runs, or are not one of each.
    pub(super) fn rounding(&self, node: &NodeProto) -> Option<TensorQuant> {
        match &*node.op_type {
            // Without a zero point, `output_dtype` may say that codes are signed.
            "QuantizeLinear"
                if input(node, 2).is_some() || matches!(whole(node, "output_dtype"), None | Some(0 | 2)) =>
            {
                self.tensor_quant(input(node, 1)?, input(node, 2))
            }
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
        if let Some(known) = self.numbers.0.lock().unwrap_or_else(PoisonError::into_inner).get(value) {
            return Some(*known);
        }
        let found = self.computed_number(value, depth)?;
        self.numbers.0.lock().unwrap_or_else(PoisonError::into_inner).insert(value.to_owned(), found);
        Some(found)
    }

    fn computed_number(&self, value: &str, depth: usize) -> Option<f32> {
        let node = self.maker(value)?;
        let operand = |i| self.number_at(input(node, i)?, depth + 1);
        match &*node.op_type {
            "Identity" | "Cast" | "CastLike" | "Squeeze" | "Unsqueeze" | "Reshape" => operand(0),
            "Sqrt" => operand(0).map(f32::sqrt),
            "Reciprocal" => operand(0).map(f32::recip),
            "Div" => Some(operand(0)? / operand(1)?),
            "Mul" => Some(operand(0)? * operand(1)?),
            "Pow" => Some(operand(0)?.powf(operand(1)?)),
            // The last entry of a shape.
            "Gather" | "Slice" => {
                let shape = self.maker(input(node, 0)?).filter(|node| node.op_type == "Shape")?;
                let at = *self.wholes(input(node, 1)?)?.first()?;
                let last = at == -1 || (at == 3 && self.rank(input(shape, 0)?, depth) == Some(4));
                (last && attribute(shape, "start").is_none()).then_some(())?;
                self.features(input(shape, 0)?, depth + 1).map(|features| features as f32)
            }
            _ => None,
        }
    }
}
