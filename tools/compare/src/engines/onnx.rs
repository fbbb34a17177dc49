//! What the ONNX exports take and give.

use crate::error::EngineError;

/// An input, s64 `[batch][sequence]`. Files of other exporters may do without all but the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// Token ids.
    Ids,
    /// 1 for every token: sequences of one length are not padded.
    Mask,
    /// 0 for every token.
    Types,
}

impl Input {
    /// Every input.
    pub(super) const ALL: [Input; 3] = [Input::Ids, Input::Mask, Input::Types];

    /// Its name in the file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Input::Ids => "input_ids",
            Input::Mask => "attention_mask",
            Input::Types => "token_type_ids",
        }
    }

    /// The values of a batch, one sequence after the other. `T` is what the engine computes with.
    pub(super) fn values<T: From<u8> + Clone>(self, ids: &[T]) -> Vec<T> {
        match self {
            Input::Ids => ids.to_vec(),
            Input::Mask => vec![T::from(1); ids.len()],
            Input::Types => vec![T::from(0); ids.len()],
        }
    }
}

/// The output, f32 `[batch][hidden]`.
pub(super) const OUTPUT: &str = "sentence_embedding";

/// `[batch, sequence]` of a batch whose sequences have the same length.
pub(super) fn shape(library: &'static str, ids: &[Vec<u32>]) -> Result<[usize; 2], EngineError> {
    let sequence = ids.first().map_or(0, Vec::len);
    match ids.iter().position(|ids| ids.is_empty() || ids.len() != sequence) {
        None if sequence > 0 => Ok([ids.len(), sequence]),
        found => {
            let lengths = found.map_or_else(
                || "no sequences".to_owned(),
                |at| format!("{} tokens in sequence {at}, {sequence} in the first", ids[at].len()),
            );
            Err(EngineError::Call {
                library,
                call: "making a batch".to_owned(),
                reason: format!("found {lengths}; expected sequences of one length"),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_and_types_are_constants() {
        assert_eq!(Input::ALL.map(|input| input.values(&[7i64, 8])), [[7, 8], [1, 1], [0, 0]]);
    }

    #[test]
    fn a_batch_is_a_rectangle() {
        assert_eq!(shape("x", &[vec![1, 2, 3], vec![4, 5, 6]]).unwrap(), [2, 3]);
        let message = |ids: &[Vec<u32>]| shape("x", ids).unwrap_err().to_string();
        let head = "x: making a batch failed: found";
        assert_eq!(message(&[]), format!("{head} no sequences; expected sequences of one length"));
        let lengths = "2 tokens in sequence 1, 3 in the first; expected sequences of one length";
        assert_eq!(message(&[vec![1, 2, 3], vec![4, 5]]), format!("{head} {lengths}"));
        assert!(message(&[vec![], vec![]]).contains("0 tokens in sequence 0"));
    }
}
