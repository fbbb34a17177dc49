//! What comes out of a task: results in the order of the inputs, and which inputs were truncated.

use crate::encoder::Truncation;

/// The results of a batch, in its order. Dereferences to the results.
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs<T> {
    /// One result per input.
    pub results: Vec<T>,
    /// The inputs that were truncated.
    pub truncated: Vec<Truncation>,
}

impl<T> std::ops::Deref for Outputs<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.results
    }
}
