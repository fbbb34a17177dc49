//! Layer normalisations that are fused with what comes before them.

use super::parts::Parts;
use crate::error::OnnxError;
use crate::proto::AttributeProto;

/// What ONNX Runtime's operators take where a file leaves out `epsilon`.
const DEFAULT_EPSILON: f32 = 1e-12;

/// `LayerNormalization(x + skip + bias)`: inputs x, skip, gamma, beta, bias; the fourth output is the sum.
pub(super) fn skip(parts: &mut Parts<'_>) -> Result<(), OnnxError> {
    let (x, skip, gamma) = (parts.input(0)?, parts.input(1)?, parts.input(2)?);
    let mut sum = parts.node("Add", &[x, skip], vec![]);
    if let Some(bias) = parts.optional(4) {
        sum = parts.node("Add", &[&sum, bias], vec![]);
    }
    normalised(parts, &sum, gamma, parts.optional(3));
    parts.give(3, "Identity", &[&sum], vec![]);
    Ok(())
}

/// Inputs: tokens, token types, tables of words, positions and token types, gamma, beta, mask, positions. The second output
/// counts the tokens of the mask, the third is the sum.
pub(super) fn embed(parts: &mut Parts<'_>) -> Result<(), OnnxError> {
    let tables = [parts.input(2)?, parts.input(3)?, parts.optional(4).unwrap_or_default()].map(str::to_owned);
    let norm = [parts.input(5)?, parts.optional(6).unwrap_or_default()].map(str::to_owned);
    embeddings(parts, &tables, &norm, 7, Some(8))
}

/// The same with constants in u8 or s8: their scales are inputs 8 to 12, their zero points 13 to 17.
pub(super) fn embed_quantised(parts: &mut Parts<'_>) -> Result<(), OnnxError> {
    let mut read = Vec::new();
    for i in 0..5 {
        read.push(match (parts.optional(2 + i), parts.optional(8 + i)) {
            (Some(codes), Some(scale)) => parts.dequantized(codes, scale, parts.optional(13 + i), -1),
            (Some(_), None) => return Err(parts.refused(format!("no scale for input {}", 2 + i), "one")),
            (None, _) => String::new(),
        });
    }
    let [word, position, types, gamma, beta] = read.try_into().unwrap_or_default();
    embeddings(parts, &[word, position, types], &[gamma, beta], 7, None)
}

fn embeddings(
    parts: &mut Parts<'_>,
    [word, position, types]: &[String; 3],
    [gamma, beta]: &[String; 2],
    mask: usize,
    positions: Option<usize>,
) -> Result<(), OnnxError> {
    let ids = parts.input(0)?;
    let word = parts.node("Gather", &[word, ids], vec![AttributeProto::int("axis", 0)]);
    let position = match positions.and_then(|i| parts.optional(i)) {
        Some(places) => parts.node("Gather", &[position, places], vec![AttributeProto::int("axis", 0)]),
        // The first rows, one to a token.
        None => {
            let (zero, bounds) =
                (parts.list(&[0]), vec![AttributeProto::int("start", 1), AttributeProto::int("end", 2)]);
            let length = parts.node("Shape", &[ids], bounds);
            parts.node("Slice", &[position, &zero, &length, &zero], vec![])
        }
    };
    let mut sum = parts.node("Add", &[&word, &position], vec![]);
    match (parts.optional(1), types.is_empty()) {
        (Some(index), false) => {
            let types = parts.node("Gather", &[types, index], vec![AttributeProto::int("axis", 0)]);
            sum = parts.node("Add", &[&sum, &types], vec![]);
        }
        (None, true) => {}
        (Some(_), true) => return Err(parts.refused("token types without a table", "both or neither")),
        (None, false) => return Err(parts.refused("a table of token types without token types", "both or neither")),
    }
    normalised(parts, &sum, gamma, Some(&**beta).filter(|beta| !beta.is_empty()));
    if let Some(mask) = parts.optional(mask) {
        let axis = parts.list(&[1]);
        parts.give(1, "ReduceSum", &[mask, &axis], vec![AttributeProto::int("keepdims", 0)]);
    } else {
        let zero = parts.list(&[0]);
        parts.give(1, "Identity", &[&zero], vec![]);
    }
    parts.give(2, "Identity", &[&sum], vec![]);
    Ok(())
}

fn normalised(parts: &mut Parts<'_>, sum: &str, gamma: &str, beta: Option<&str>) {
    let epsilon = parts.number("epsilon").unwrap_or(DEFAULT_EPSILON);
    let attributes = vec![AttributeProto::int("axis", -1), AttributeProto::float("epsilon", epsilon)];
    parts.give(0, "LayerNormalization", &[sum, gamma, beta.unwrap_or("")], attributes);
}
