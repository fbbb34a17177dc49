//! Operators on single elements.

use super::super::node::{attribute, number};
use super::super::tensor::is_float;
use super::value::{Numbers, Value, broadcast};
use crate::config::Activation;
use crate::proto::NodeProto;
use crate::reference::{activate, erf};

/// An operator of one operand; none if it is another.
pub(super) fn unary(node: &NodeProto, x: &Value) -> Option<Result<Value, String>> {
    let floats = |f: fn(f32) -> f32| {
        let map = |values: Vec<f32>| Value::floats(x.dims.clone(), values.into_iter().map(f).collect());
        Some(x.as_floats().map(map))
    };
    let either = |f: fn(f32) -> f32, g: fn(i64) -> i64| match &x.numbers {
        Numbers::Whole(values) => Some(Ok(Value::wholes(x.dims.clone(), values.iter().map(|&x| g(x)).collect()))),
        _ => floats(f),
    };
    let test = |f: fn(f32) -> bool| {
        let map = |values: Vec<f32>| Value::wholes(x.dims.clone(), values.into_iter().map(|x| f(x).into()).collect());
        Some(x.as_floats().map(map))
    };
    match &*node.op_type {
        "Neg" => either(|x| -x, i64::wrapping_neg),
        "Abs" => either(f32::abs, i64::wrapping_abs),
        "Sign" => either(|x| if x == 0.0 { 0.0 } else { x.signum() }, i64::signum),
        "Not" => either(|x| f32::from(x == 0.0), |x| i64::from(x == 0)),
        "Sqrt" => floats(f32::sqrt),
        "Exp" => floats(f32::exp),
        "Log" => floats(f32::ln),
        "Erf" => floats(erf),
        "Tanh" => floats(f32::tanh),
        "Sigmoid" => floats(|x| 1.0 / (1.0 + (-x).exp())),
        "Relu" => floats(|x| x.max(0.0)),
        "Softplus" => floats(|x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
        "Reciprocal" => floats(f32::recip),
        "Floor" => floats(f32::floor),
        "Ceil" => floats(f32::ceil),
        "Round" => floats(f32::round_ties_even),
        "IsNaN" => test(f32::is_nan),
        "IsInf" => test(f32::is_infinite),
        "Gelu" => {
            let tanh = attribute(node, "approximate").and_then(|a| a.s.as_deref()) == Some(b"tanh");
            let kind = if tanh { Activation::GeluTanh } else { Activation::Gelu };
            Some(x.as_floats().map(|mut values| {
                activate(kind, &mut values);
                Value::floats(x.dims.clone(), values)
            }))
        }
        _ => None,
    }
}

/// An operator of two operands, or more of the same; none if it is another.
pub(super) fn binary(operator: &str, operands: &[Value], limit: usize) -> Option<Result<Value, String>> {
    type Floats = fn(f32, f32) -> f32;
    type Wholes = fn(i64, i64) -> i64;
    let (floats, wholes): (Floats, Wholes) = match operator {
        "Add" | "Sum" => (|a, b| a + b, i64::wrapping_add),
        "Sub" => (|a, b| a - b, i64::wrapping_sub),
        "Mul" => (|a, b| a * b, i64::wrapping_mul),
        "Div" => (|a, b| a / b, |a, b| a.checked_div(b).unwrap_or(0)),
        "Mod" => (|a, b| a % b, |a, b| if b == 0 { 0 } else { a.wrapping_rem(b).wrapping_add(b).wrapping_rem(b) }),
        "Pow" => (f32::powf, |a, b| u32::try_from(b).map_or(0, |b| a.wrapping_pow(b))),
        "Min" => (f32::min, i64::min),
        "Max" => (f32::max, i64::max),
        "Mean" if operands.len() == 1 => (|a, _| a, |a, _| a),
        _ => return compared(operator, operands, limit),
    };
    let mut operands = operands.iter();
    let first = operands.next()?.clone();
    Some(operands.try_fold(Value { codes: None, ..first }, |a, b| joined(&a, b, (floats, wholes), limit)))
}

fn compared(operator: &str, operands: &[Value], limit: usize) -> Option<Result<Value, String>> {
    let [a, b] = operands else { return None };
    type Compare<T> = fn(&T, &T) -> bool;
    let (floats, wholes): (Compare<f32>, Compare<i64>) = match operator {
        "Equal" => (f32::eq, i64::eq),
        "Less" => (f32::lt, i64::lt),
        "LessOrEqual" => (f32::le, i64::le),
        "Greater" => (f32::gt, i64::gt),
        "GreaterOrEqual" => (f32::ge, i64::ge),
        "And" => (|a, b| *a != 0.0 && *b != 0.0, |a, b| *a != 0 && *b != 0),
        "Or" => (|a, b| *a != 0.0 || *b != 0.0, |a, b| *a != 0 || *b != 0),
        "Xor" => (|a, b| (*a != 0.0) != (*b != 0.0), |a, b| (*a != 0) != (*b != 0)),
        _ => return None,
    };
    let compared = || {
        let dims = broadcast(&a.dims, &b.dims, limit)?;
        let (a, b) = (a.expanded(&dims), b.expanded(&dims));
        let found = match (&a.numbers, &b.numbers) {
            (Numbers::Whole(a), Numbers::Whole(b)) => a.iter().zip(b).map(|(a, b)| wholes(a, b).into()).collect(),
            _ => a.as_floats()?.iter().zip(&b.as_floats()?).map(|(a, b)| floats(a, b).into()).collect(),
        };
        Ok(Value::wholes(dims, found))
    };
    Some(compared())
}

type Both = (fn(f32, f32) -> f32, fn(i64, i64) -> i64);

fn joined(a: &Value, b: &Value, (f, g): Both, limit: usize) -> Result<Value, String> {
    let dims = broadcast(&a.dims, &b.dims, limit)?;
    if let (Numbers::Whole(_), Numbers::Whole(_)) = (&a.numbers, &b.numbers) {
        let (a, b) = (a.expanded(&dims), b.expanded(&dims));
        let (x, y) = (a.as_wholes()?, b.as_wholes()?);
        return Ok(Value::wholes(dims, x.iter().zip(y).map(|(&x, &y)| g(x, y)).collect()));
    }
    let (x, y) = (a.as_floats()?, b.as_floats()?);
    let numbers = match (a.dims == dims, b.dims == dims) {
        (true, true) => x.iter().zip(&y).map(|(&x, &y)| f(x, y)).collect(),
        // One operand is repeated as a whole: a bias, a number.
        (true, false) if dims.ends_with(&b.dims) && !y.is_empty() => {
            x.chunks(y.len()).flat_map(|x| x.iter().zip(&y).map(|(&x, &y)| f(x, y))).collect()
        }
        _ => {
            let (x, y) = (a.expanded(&dims).as_floats()?, b.expanded(&dims).as_floats()?);
            x.iter().zip(&y).map(|(&x, &y)| f(x, y)).collect()
        }
    };
    Ok(Value::floats(dims, numbers))
}

/// `condition ? a : b`.
pub(super) fn chosen(condition: &Value, a: &Value, b: &Value, limit: usize) -> Result<Value, String> {
    let dims = broadcast(&broadcast(&condition.dims, &a.dims, limit)?, &b.dims, limit)?;
    let condition = condition.expanded(&dims);
    let (condition, a, b) = (condition.as_wholes()?, a.expanded(&dims), b.expanded(&dims));
    if let (Numbers::Whole(a), Numbers::Whole(b)) = (&a.numbers, &b.numbers) {
        let chosen = condition.iter().zip(a.iter().zip(b)).map(|(&c, (&a, &b))| if c != 0 { a } else { b });
        return Ok(Value::wholes(dims, chosen.collect()));
    }
    let (a, b) = (a.as_floats()?, b.as_floats()?);
    let chosen = condition.iter().zip(a.iter().zip(&b)).map(|(&c, (&a, &b))| if c != 0 { a } else { b });
    Ok(Value::floats(dims, chosen.collect()))
}

/// Clip: bounds are settings before operator set 11, then inputs.
pub(super) fn clipped(
    node: &NodeProto,
    x: &Value,
    least: Option<&Value>,
    most: Option<&Value>,
) -> Result<Value, String> {
    let bound = |value: Option<&Value>, name| match value {
        Some(value) => value.as_floats()?.first().copied().map(Some).ok_or_else(|| "an empty bound".to_owned()),
        None => Ok(number(node, name)),
    };
    let (least, most) = (bound(least, "min")?, bound(most, "max")?);
    let clip = |x: f32| x.max(least.unwrap_or(f32::NEG_INFINITY)).min(most.unwrap_or(f32::INFINITY));
    match &x.numbers {
        Numbers::Whole(values) => {
            Ok(Value::wholes(x.dims.clone(), values.iter().map(|&x| clip(x as f32) as i64).collect()))
        }
        _ => Ok(Value::floats(x.dims.clone(), x.as_floats()?.into_iter().map(clip).collect())),
    }
}

/// Cast to an element type of ONNX.
pub(super) fn cast(x: &Value, to: i64) -> Result<Value, String> {
    const BOOL: i64 = 9;
    let dims = x.dims.clone();
    Ok(match (&x.numbers, to) {
        (Numbers::Unknown, _) => x.clone(),
        (Numbers::Float(_), to) if is_float(to) => x.clone(),
        (Numbers::Whole(_), to) if is_float(to) => Value::floats(dims, x.as_floats()?),
        (Numbers::Float(values), BOOL) => Value::wholes(dims, values.iter().map(|&x| (x != 0.0).into()).collect()),
        (Numbers::Whole(values), BOOL) => Value::wholes(dims, values.iter().map(|&x| (x != 0).into()).collect()),
        (Numbers::Float(values), 2..=7 | 12 | 13) => Value::wholes(dims, values.iter().map(|&x| x as i64).collect()),
        (Numbers::Whole(_), 2..=7 | 12 | 13) => x.clone(),
        _ => return Err(format!("a cast to type {to}")),
    })
}
