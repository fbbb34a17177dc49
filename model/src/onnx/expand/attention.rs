//! Attention in one operator.

use super::parts::Parts;
use crate::error::OnnxError;
use crate::proto::{AttributeProto, DataType};

/// Settings of ONNX Runtime's operators that change what is computed.
const ONLY_ENCODERS: [&str; 2] = ["unidirectional", "do_rotary"];

/// Heads: how many there are, their size where it is known, and the factor of the scores where it is set.
#[derive(Clone, Copy)]
struct Heads {
    count: i64,
    size: Option<i64>,
    scale: Option<f32>,
}

/// `com.microsoft` Attention. Inputs: x, weights of q, k and v beside each other `[K][3M]`, bias, mask, past, bias of scores.
pub(super) fn packed(parts: &mut Parts<'_>) -> Result<(), OnnxError> {
    parts.zero(&ONLY_ENCODERS)?;
    parts.absent(&[(4, "past"), (6, "past_sequence_length")])?;
    let (x, weights, bias) = (parts.input(0)?.to_owned(), parts.input(1)?.to_owned(), parts.optional(2));
    let features = features(parts, &weights, bias)?;
    projected(parts, &x, &weights, bias, features, &[3, 5])
}

/// `com.microsoft` QAttention: x and weights are codes. Inputs: x, weights, bias, scales of x and weights, mask, zero points of x and weights, past.
pub(super) fn quantised(parts: &mut Parts<'_>) -> Result<(), OnnxError> {
    parts.zero(&ONLY_ENCODERS)?;
    parts.absent(&[(8, "past")])?;
    let (x, codes, bias) = (parts.input(0)?, parts.input(1)?, parts.optional(2));
    let features = features(parts, codes, bias)?;
    let x = parts.dequantized(x, parts.input(3)?, parts.optional(6), -1);
    let weights = parts.dequantized(codes, parts.input(4)?, parts.optional(7), 1);
    projected(parts, &x, &weights, bias, features, &[5])
}

/// `com.microsoft` MultiHeadAttention. Inputs: q, k, v without bias, `[batch, sequence, features]`; bias of all three, mask of keys, bias of scores, past.
pub(super) fn multi_head(parts: &mut Parts<'_>) -> Result<(), OnnxError> {
    parts.zero(&ONLY_ENCODERS)?;
    parts.absent(&[(6, "past_key"), (7, "past_value"), (8, "past_sequence_length"), (9, "cache_indirection")])?;
    let mut states = [0, 1, 2].map(|i| parts.optional(i).unwrap_or_default().to_owned());
    if states.iter().any(String::is_empty) {
        return Err(parts.refused("queries, keys and values in one input", "an input of its own for each"));
    }
    let mut size = None;
    let count = heads(parts)?;
    if let Some(bias) = parts.optional(3) {
        let features = features(parts, "", Some(bias))?;
        size = Some(features / count);
        for (i, state) in (0..).zip(&mut states) {
            let part = parts.columns(bias, i * features, (i + 1) * features);
            *state = parts.node("Add", &[state, &part], vec![]);
        }
    }
    let heads = Heads { count, size, scale: parts.number("scale") };
    attend(parts, states, heads, &[4, 5])
}

/// ONNX's own Attention, of operator set 23 on. Inputs: q, k, v, mask, past.
pub(super) fn of_onnx(parts: &mut Parts<'_>) -> Result<(), OnnxError> {
    parts.zero(&["is_causal", "qk_matmul_output_mode"])?;
    parts.absent(&[(4, "past_key"), (5, "past_value"), (6, "nonpad_kv_seqlen")])?;
    if parts.number("softcap").unwrap_or(0.0) != 0.0 {
        return Err(parts.refused("a softcap", "none, as encoders have it"));
    }
    let states = [parts.input(0)?, parts.input(1)?, parts.input(2)?].map(str::to_owned);
    let counts = [parts.whole("q_num_heads"), parts.whole("kv_num_heads")];
    match counts {
        [None, None] => {
            let [q, k, v] = states;
            let k = parts.node("Transpose", &[&k], vec![AttributeProto::ints("perm", &[0, 1, 3, 2])]);
            let scale = parts.number("scale");
            let context = scores(parts, [&q, &k, &v], &q, Heads { count: 0, size: None, scale }, &[3]);
            parts.give(0, "Identity", &[&context], vec![]);
            Ok(())
        }
        [Some(count), Some(keys)] if count == keys && count > 0 => {
            let heads = Heads { count, size: None, scale: parts.number("scale") };
            attend(parts, states, heads, &[3])
        }
        _ => Err(parts.refused(format!("{counts:?} heads of queries and of keys"), "as many of both")),
    }
}

/// q, k and v from one matrix.
fn projected(
    parts: &mut Parts<'_>,
    x: &str,
    weights: &str,
    bias: Option<&str>,
    features: i64,
    masks: &[usize],
) -> Result<(), OnnxError> {
    let count = heads(parts)?;
    let mut states = [const { String::new() }; 3];
    for (i, state) in (0..).zip(&mut states) {
        let (start, end) = (i * features, (i + 1) * features);
        let matrix = parts.columns(weights, start, end);
        *state = parts.node("MatMul", &[x, &matrix], vec![]);
        if let Some(bias) = bias {
            let part = parts.columns(bias, start, end);
            *state = parts.node("Add", &[state, &part], vec![]);
        }
    }
    let heads = Heads { count, size: Some(features / count), scale: parts.number("scale") };
    attend(parts, states, heads, masks)
}

/// Attention of q, k and v `[batch, sequence, features]`.
fn attend(parts: &mut Parts<'_>, [q, k, v]: [String; 3], heads: Heads, masks: &[usize]) -> Result<(), OnnxError> {
    let shape = parts.list(&[0, 0, heads.count, heads.size.unwrap_or(-1)]);
    let mut per_head = |x: &str, order: &[i64]| {
        let split = parts.node("Reshape", &[x, &shape], vec![]);
        (parts.node("Transpose", &[&split], vec![AttributeProto::ints("perm", order)]), split)
    };
    let (q, split) = per_head(&q, &[0, 2, 1, 3]);
    let (k, _) = per_head(&k, &[0, 2, 3, 1]);
    let (v, _) = per_head(&v, &[0, 2, 1, 3]);
    let context = scores(parts, [&q, &k, &v], &split, heads, masks);
    let context = parts.node("Transpose", &[&context], vec![AttributeProto::ints("perm", &[0, 2, 1, 3])]);
    let beside = parts.list(&[0, 0, -1]);
    parts.give(0, "Reshape", &[&context, &beside], vec![]);
    Ok(())
}

/// `softmax(q k scale + masks) v`; the last dimension of `sized` is the size of a head.
fn scores(parts: &mut Parts<'_>, [q, k, v]: [&str; 3], sized: &str, heads: Heads, masks: &[usize]) -> String {
    let mut scores = parts.node("MatMul", &[q, k], vec![]);
    scores = match (heads.scale.filter(|&scale| scale != 0.0), heads.size) {
        (Some(scale), _) => {
            let factor = parts.scalar(scale);
            parts.node("Mul", &[&scores, &factor], vec![])
        }
        (None, Some(size)) => {
            let root = parts.scalar((size as f32).sqrt());
            parts.node("Div", &[&scores, &root], vec![])
        }
        (None, None) => {
            let (shape, last) = (parts.node("Shape", &[sized], vec![]), parts.list(&[-1]));
            let size = parts.node("Gather", &[&shape, &last], vec![AttributeProto::int("axis", 0)]);
            let size = parts.node("Cast", &[&size], vec![AttributeProto::int("to", DataType::Float as i64)]);
            let root = parts.node("Sqrt", &[&size], vec![]);
            parts.node("Div", &[&scores, &root], vec![])
        }
    };
    for &i in masks {
        if let Some(mask) = parts.optional(i) {
            scores = parts.masked(&scores, mask);
        }
    }
    let weights = parts.node("Softmax", &[&scores], vec![AttributeProto::int("axis", -1)]);
    parts.node("MatMul", &[&weights, v], vec![])
}

fn heads(parts: &Parts<'_>) -> Result<i64, OnnxError> {
    let found = parts.whole("num_heads");
    found.filter(|&heads| heads > 0).ok_or_else(|| parts.refused(format!("num_heads = {found:?}"), "1 or more"))
}

/// How many features q, k and v have each.
fn features(parts: &Parts<'_>, weights: &str, bias: Option<&str>) -> Result<i64, OnnxError> {
    let sizes = parts.wholes("qkv_hidden_sizes").filter(|sizes| !sizes.is_empty());
    if let Some(sizes) = sizes {
        return match *sizes {
            [q, k, v] if q == k && q == v && q > 0 => Ok(q),
            _ => {
                let shown = &sizes[..sizes.len().min(4)];
                Err(parts.refused(format!("qkv_hidden_sizes = {shown:?}"), "three equal sizes"))
            }
        };
    }
    let all = parts.dims(weights).filter(|dims| dims.len() == 2).and_then(|dims| dims.last());
    let all = all.or_else(|| parts.dims(bias?).filter(|dims| dims.len() == 1)?.first()).copied();
    match all {
        Some(all) if all > 0 && all % 3 == 0 => Ok(all / 3),
        Some(all) => Err(parts.refused(format!("{all} features of q, k and v"), "three times as many as each has")),
        None => Err(parts.refused("weights and bias that are no initialisers", "one whose shape is known")),
    }
}
