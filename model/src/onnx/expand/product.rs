//! Matrix products, activations and sums that are fused with their neighbours.

use super::super::node::attribute;
use super::parts::Parts;
use crate::error::OnnxError;
use crate::proto::AttributeProto;

/// `f(x + bias)`; without a second input `f(x)`.
pub(super) fn activation(parts: &mut Parts<'_>, operator: &str, tanh: bool) -> Result<(), OnnxError> {
    let mut x = parts.input(0)?.to_owned();
    if let Some(bias) = parts.optional(1) {
        x = parts.node("Add", &[&x, bias], vec![]);
    }
    let attributes = if tanh { vec![AttributeProto::string("approximate", "tanh")] } else { vec![] };
    parts.give(0, operator, &[&x], attributes);
    Ok(())
}

/// `x sigmoid(alpha x)`.
pub(super) fn quick_gelu(parts: &mut Parts<'_>) -> Result<(), OnnxError> {
    let x = parts.input(0)?;
    let alpha = parts.scalar(parts.number("alpha").unwrap_or(1.702));
    let scaled = parts.node("Mul", &[x, &alpha], vec![]);
    let gate = parts.node("Sigmoid", &[&scaled], vec![]);
    parts.give(0, "Mul", &[x, &gate], vec![]);
    Ok(())
}

/// `softmax(x + bias)`.
pub(super) fn bias_softmax(parts: &mut Parts<'_>) -> Result<(), OnnxError> {
    let sum = parts.node("Add", &[parts.input(0)?, parts.input(1)?], vec![]);
    let axis = parts.whole("axis").unwrap_or(1);
    parts.give(0, "Softmax", &[&sum], vec![AttributeProto::int("axis", axis)]);
    Ok(())
}

/// `alpha a b`, b perhaps with its last two dimensions exchanged.
pub(super) fn mat_mul(parts: &mut Parts<'_>) -> Result<(), OnnxError> {
    parts.zero(&["transA", "transBatchA", "transBatchB"])?;
    let (a, mut b) = (parts.input(0)?, parts.input(1)?.to_owned());
    if parts.whole("transB").unwrap_or(0) != 0 {
        // A constant is a matrix; another operand is of attention, with a dimension for batch and heads each.
        let order: &[i64] = if parts.is_constant(&b) { &[1, 0] } else { &[0, 1, 3, 2] };
        b = parts.node("Transpose", &[&b], vec![AttributeProto::ints("perm", order)]);
    }
    let alpha = parts.number("alpha").unwrap_or(1.0);
    if alpha == 1.0 {
        parts.give(0, "MatMul", &[a, &b], vec![]);
        return Ok(());
    }
    let product = parts.node("MatMul", &[a, &b], vec![]);
    let factor = parts.scalar(alpha);
    parts.give(0, "Mul", &[&product, &factor], vec![]);
    Ok(())
}

/// `f(Gemm(a, b, c))`.
pub(super) fn gemm(parts: &mut Parts<'_>) -> Result<(), OnnxError> {
    let name = attribute(parts.of, "activation").and_then(|name| name.s.as_deref()).unwrap_or_default();
    let operator = match name {
        b"Relu" => "Relu",
        b"Tanh" => "Tanh",
        b"Sigmoid" => "Sigmoid",
        other => {
            let other = String::from_utf8_lossy(&other[..other.len().min(40)]);
            return Err(parts.refused(format!("the activation {other:?}"), "Relu, Tanh or Sigmoid"));
        }
    };
    let settings = parts.of.attribute.iter().filter(|setting| !setting.name.starts_with("activation"));
    let settings = settings.cloned().collect();
    let product = parts.node("Gemm", &[parts.input(0)?, parts.input(1)?, parts.optional(2).unwrap_or("")], settings);
    parts.give(0, operator, &[&product], vec![]);
    Ok(())
}

/// f32 times codes; the scale of the f32 operand is found when the graph runs. Inputs: a, codes, scale, zero point, bias.
pub(super) fn dynamic(parts: &mut Parts<'_>) -> Result<(), OnnxError> {
    let [codes, scale, zero] = parts.outputs("DynamicQuantizeLinear", &[parts.input(0)?]);
    let a = parts.dequantized(&codes, &scale, Some(&zero), -1);
    let b = parts.dequantized(parts.input(1)?, parts.input(2)?, parts.optional(3), 1);
    with_bias(parts, &a, &b, 4)
}

/// Codes times codes, in f32. Inputs: a, b, their scales, their zero points, bias.
pub(super) fn integer(parts: &mut Parts<'_>) -> Result<(), OnnxError> {
    let a = parts.dequantized(parts.input(0)?, parts.input(2)?, parts.optional(4), -1);
    let b = parts.dequantized(parts.input(1)?, parts.input(3)?, parts.optional(5), 1);
    with_bias(parts, &a, &b, 6)
}

fn with_bias(parts: &mut Parts<'_>, a: &str, b: &str, bias: usize) -> Result<(), OnnxError> {
    match parts.optional(bias) {
        None => parts.give(0, "MatMul", &[a, b], vec![]),
        Some(bias) => {
            let product = parts.node("MatMul", &[a, b], vec![]);
            parts.give(0, "Add", &[&product, bias], vec![]);
        }
    }
    Ok(())
}

/// `Gemm` of codes. Inputs: a, scale, zero point; b, scale, zero point; bias in units of both scales; scale and zero point of the
/// result, which is f32 without them.
pub(super) fn quantised_gemm(parts: &mut Parts<'_>) -> Result<(), OnnxError> {
    let by_output = parts.whole("transB").unwrap_or(0);
    let (a_scale, b_scale) = (parts.input(1)?, parts.input(4)?);
    let a = parts.dequantized(parts.input(0)?, a_scale, parts.optional(2), -1);
    let b = parts.dequantized(parts.input(3)?, b_scale, parts.optional(5), 1 - by_output);
    let settings = ["transA", "transB"].map(|name| AttributeProto::int(name, parts.whole(name).unwrap_or(0)));
    let mut settings = settings.to_vec();
    settings.push(AttributeProto::float("alpha", parts.number("alpha").unwrap_or(1.0)));
    let bias = match parts.optional(6) {
        None => String::new(),
        Some(bias) => {
            let scale = parts.node("Mul", &[a_scale, b_scale], vec![]);
            parts.dequantized(bias, &scale, None, 0)
        }
    };
    match parts.optional(7) {
        None => parts.give(0, "Gemm", &[&a, &b, &bias], settings),
        Some(scale) => {
            let product = parts.node("Gemm", &[&a, &b, &bias], settings);
            parts.give(0, "QuantizeLinear", &[&product, scale, parts.optional(8).unwrap_or("")], vec![]);
        }
    }
    Ok(())
}

/// Codes and codes, to codes. Inputs: a, scale, zero point; b, scale, zero point; scale and zero point of the result.
pub(super) fn elementwise(parts: &mut Parts<'_>, operator: &str) -> Result<(), OnnxError> {
    let a = parts.dequantized(parts.input(0)?, parts.input(1)?, parts.optional(2), -1);
    let b = parts.dequantized(parts.input(3)?, parts.input(4)?, parts.optional(5), -1);
    let result = parts.node(operator, &[&a, &b], vec![]);
    parts.give(0, "QuantizeLinear", &[&result, parts.input(6)?, parts.optional(7).unwrap_or("")], vec![]);
    Ok(())
}

/// A function of codes, to codes. Inputs: x, scale, zero point; scale and zero point of the result.
pub(super) fn unary(parts: &mut Parts<'_>, operator: &str) -> Result<(), OnnxError> {
    let x = parts.dequantized(parts.input(0)?, parts.input(1)?, parts.optional(2), -1);
    let axis = parts.whole("axis").map(|axis| AttributeProto::int("axis", axis));
    let result = parts.node(operator, &[&x], axis.into_iter().collect());
    parts.give(0, "QuantizeLinear", &[&result, parts.input(3)?, parts.optional(4).unwrap_or("")], vec![]);
    Ok(())
}
