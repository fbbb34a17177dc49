//! Masks of attention: padding may be masked, and nothing else.

use std::collections::HashSet;

use super::graph::Graph;
use crate::error::OnnxError;

impl Graph {
    /// Refuses masks that tell tokens apart by their places, as decoders have them. The caller knows that no hidden state is behind it.
    pub(super) fn check_mask<'g>(&'g self, mask: &'g str) -> Result<(), OnnxError> {
        const EXPECTED: &str = "a mask of padding, as encoders have it";
        if self.is_constant(mask) {
            let Ok(constant) = self.fold(mask) else {
                return Err(self.stop_with(mask, "a constant mask that is not read", EXPECTED));
            };
            let is_even = match (constant.tensor.floats(), constant.tensor.data.wholes()) {
                (Some(values), _) => values.windows(2).all(|pair| pair[0] == pair[1]),
                (None, Some(values)) => values.windows(2).all(|pair| pair[0] == pair[1]),
                (None, None) => false,
            };
            return match is_even {
                true => Ok(()),
                false => Err(self.stop_with(mask, "a constant mask of different values", EXPECTED)),
            };
        }
        let (mut open, mut seen) = (vec![mask], HashSet::new());
        while let Some(value) = open.pop() {
            if !seen.insert(value) {
                continue;
            }
            let Some(node) = self.maker(value) else { continue };
            if node.op_type == "Trilu" {
                return Err(self.stop_with(value, "a triangular mask", EXPECTED));
            }
            open.extend(node.input.iter().map(String::as_str).filter(|input| !input.is_empty()));
        }
        Ok(())
    }
}
