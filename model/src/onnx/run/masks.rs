//! Masks of scores, where no token is padding.

use super::value::{Numbers, Value, broadcast};

/// Scores behind the mask of a fused operator.
pub(super) fn masked(scores: &Value, mask: &Value, limit: usize) -> Result<Value, String> {
    match &mask.numbers {
        Numbers::Float(_) => {
            let dims = broadcast(&scores.dims, &mask.dims, limit)?;
            let (a, b) = (scores.expanded(&dims).as_floats()?, mask.expanded(&dims).as_floats()?);
            Ok(Value::floats(dims, a.iter().zip(&b).map(|(a, b)| a + b).collect()))
        }
        _ => hides_nothing(mask, scores.dims.last().copied().unwrap_or(0)).map(|()| scores.clone()),
    }
}

/// Whether the integers of a mask say that every key is there: one count per sequence, or 1 for every key.
pub(in crate::onnx) fn hides_nothing(mask: &Value, keys: usize) -> Result<(), String> {
    let values = mask.as_wholes()?;
    let is_full = match mask.dims.len() {
        0 | 1 => values.iter().all(|&count| count == keys as i64),
        _ => values.iter().all(|&kept| kept != 0),
    };
    if is_full { Ok(()) } else { Err("a mask that hides tokens which are no padding".into()) }
}

/// Whether a value is the same for all keys, of which the last dimension has one each.
pub(in crate::onnx) fn is_even(mask: &Value) -> Result<bool, String> {
    let values = mask.as_floats()?;
    let keys = mask.dims.last().copied().unwrap_or(1).max(1);
    Ok(values.chunks(keys).all(|row| row.windows(2).all(|pair| pair[0] == pair[1])))
}
