//! Masks of attention: padding may be masked, and nothing else.

use std::collections::HashSet;

use super::graph::Graph;
use super::node::input;
use crate::error::OnnxError;

/// What errors expect.
const PADDING: &str = "a mask of padding, as encoders have it";

impl Graph {
    /// Refuses masks that tell tokens apart, as decoders have them, and masks of something else than the input for padding. The caller
    /// knows that no hidden state is behind it.
    pub(super) fn check_mask<'g>(&'g self, mask: &'g str) -> Result<(), OnnxError> {
        if self.is_constant(mask) {
            let Ok(constant) = self.fold(mask) else {
                return Err(self.stop_with(mask, "a constant mask that is not read", PADDING));
            };
            let is_even = match (constant.tensor.floats(), constant.tensor.data.wholes()) {
                (Some(values), _) => values.windows(2).all(|pair| pair[0] == pair[1]),
                (None, Some(values)) => values.windows(2).all(|pair| pair[0] == pair[1]),
                (None, None) => false,
            };
            return match is_even {
                true => Ok(()),
                false => Err(self.stop_with(mask, "a constant mask of different values", PADDING)),
            };
        }
        let (mut open, mut seen) = (vec![mask], HashSet::new());
        while let Some(value) = open.pop() {
            if !seen.insert(value) {
                continue;
            }
            let Some(node) = self.maker(value) else {
                if self.is_input(value) && !self.is_mask_input(value) {
                    return Err(self.stop_with(
                        mask,
                        format!("a mask that depends on {}", self.describe(value)),
                        PADDING,
                    ));
                }
                continue;
            };
            match &*node.op_type {
                "Trilu" => return Err(self.stop_with(value, "a triangular mask", PADDING)),
                // The shape of a value says nothing of its elements.
                "Shape" | "Size" => {}
                _ => open.extend(node.input.iter().map(String::as_str).filter(|input| !input.is_empty())),
            }
        }
        Ok(())
    }

    /// Whether an input says which tokens are padding: by its name, or because no table is looked up with it.
    pub(super) fn is_mask_input(&self, name: &str) -> bool {
        let looks_up = || {
            self.nodes().any(|node| {
                let mut index = input(node, 1).filter(|_| node.op_type == "Gather").unwrap_or_default();
                while let Some(node) = self.maker(index) {
                    match (&*node.op_type, input(node, 0)) {
                        ("Cast" | "Identity" | "Reshape" | "Squeeze" | "Unsqueeze", Some(before)) => index = before,
                        _ => break,
                    }
                }
                index == name
            })
        };
        name.to_ascii_lowercase().contains("mask") || !looks_up()
    }

    /// Whether a value says of every token the same but for padding: comparisons of the input for padding with numbers.
    pub(super) fn is_of_padding<'g>(&'g self, value: &'g str) -> bool {
        let (mut open, mut seen) = (vec![value], HashSet::new());
        while let Some(value) = open.pop() {
            if self.is_constant(value) && self.check_mask(value).is_err() {
                return false;
            }
            if self.is_constant(value) || !seen.insert(value) {
                continue;
            }
            let Some(node) = self.maker(value) else {
                if !self.is_input(value) || !self.is_mask_input(value) {
                    return false;
                }
                continue;
            };
            let operands = match &*node.op_type {
                "Cast" | "CastLike" | "Identity" | "Unsqueeze" | "Squeeze" | "Reshape" | "Expand" | "Not" => 1,
                "Equal" | "Less" | "Greater" | "LessOrEqual" | "GreaterOrEqual" | "Sub" | "Mul" | "And" | "Or" => 2,
                _ => return false,
            };
            open.extend((0..operands).filter_map(|i| input(node, i)));
        }
        true
    }
}
