//! One input, or a list of them: the answer has the same form.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits::Limits;

/// One, or a list.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected an input that the pipeline of this model reads, or a list of them")]
pub(super) enum Many<T> {
    One(T),
    List(Vec<T>),
}

impl<T> Many<T> {
    /// All of them, and whether they were a list.
    pub(super) fn into_list(self) -> (Vec<T>, bool) {
        match self {
            Many::One(one) => (vec![one], false),
            Many::List(list) => (list, true),
        }
    }

    /// In the form that the inputs had.
    pub(super) fn of(mut list: Vec<T>, is_list: bool) -> Many<T> {
        match (is_list, list.len()) {
            (false, 1) => Many::One(list.remove(0)),
            _ => Many::List(list),
        }
    }
}

/// Checks the number of inputs, and the lengths of their texts.
pub(super) fn check<'a, const N: usize>(
    inputs: impl ExactSizeIterator<Item = [&'a str; N]>,
    limits: &Limits,
) -> Result<()> {
    if inputs.len() == 0 {
        return Err(Error::Empty { field: "inputs" });
    }
    if inputs.len() > limits.request_texts {
        let (found, limit) = (inputs.len().to_string(), limits.request_texts);
        return Err(Error::TooLarge { what: "inputs of a request", found, limit });
    }
    for text in inputs.flatten() {
        if text.len() > limits.text_bytes {
            let (found, limit) = (text.len().to_string(), limits.text_bytes);
            return Err(Error::TooLarge { what: "bytes of a text", found, limit });
        }
    }
    Ok(())
}

/// `top_k`: at least 1.
pub(super) fn top_k(asked: Option<usize>, default: usize) -> Result<usize> {
    match asked {
        Some(0) => Err(Error::invalid("top_k", 0, "at least 1")),
        asked => Ok(asked.unwrap_or(default)),
    }
}
