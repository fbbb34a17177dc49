//! Operators that look along axes.

use super::super::node::{number, whole};
use super::value::{Numbers, Value, axis_of, places, strides};
use crate::proto::NodeProto;

/// What an exporter that leaves out `epsilon` means.
const DEFAULT_EPSILON: f32 = 1e-5;

/// The axes of a reduction; none where it leaves the value as it is.
pub(super) fn reduced_axes(
    node: &NodeProto,
    axes: Option<Vec<i64>>,
    rank: usize,
) -> Result<Option<Vec<usize>>, String> {
    match axes.filter(|axes| !axes.is_empty()) {
        Some(axes) => axes.iter().map(|&axis| axis_of(axis, rank)).collect::<Result<_, _>>().map(Some),
        None if whole(node, "noop_with_empty_axes").unwrap_or(0) != 0 => Ok(None),
        None => Ok(Some((0..rank).collect())),
    }
}

/// A reduction; none if it is another operator.
pub(super) fn reduce(node: &NodeProto, x: &Value, axes: &[usize]) -> Option<Result<Value, String>> {
    type Fold = fn(&mut dyn Iterator<Item = f32>, f32) -> f32;
    let fold: Fold = match &*node.op_type {
        "ReduceSum" => |xs, _| xs.sum(),
        "ReduceMean" => |xs, n| xs.sum::<f32>() / n,
        "ReduceMax" => |xs, _| xs.fold(f32::NEG_INFINITY, f32::max),
        "ReduceMin" => |xs, _| xs.fold(f32::INFINITY, f32::min),
        "ReduceProd" => |xs, _| xs.product(),
        "ReduceL1" => |xs, _| xs.map(f32::abs).sum(),
        "ReduceL2" => |xs, _| xs.map(|x| x * x).sum::<f32>().sqrt(),
        "ReduceSumSquare" => |xs, _| xs.map(|x| x * x).sum(),
        _ => return None,
    };
    let is_whole = matches!(x.numbers, Numbers::Whole(_));
    let reduced = || {
        let own = strides(&x.dims);
        let is_reduced = |i: &usize| axes.contains(i);
        let of = |keep: bool, of: &[usize]| -> Vec<usize> {
            (0..x.dims.len()).filter(|i| is_reduced(i) != keep).map(|i| of[i]).collect()
        };
        let keepdims = whole(node, "keepdims").unwrap_or(1) != 0;
        let kept = (0..x.dims.len()).filter(|i| keepdims || !is_reduced(i));
        let dims = kept.map(|i| if is_reduced(&i) { 1 } else { x.dims[i] }).collect();
        if x.numbers == Numbers::Unknown {
            return Ok(Value::shape(dims));
        }
        let values = x.as_floats()?;
        let starts = places(&of(true, &x.dims), &of(true, &own));
        let steps = places(&of(false, &x.dims), &of(false, &own));
        let one = |start: usize| fold(&mut steps.iter().map(|step| values[start + step]), steps.len() as f32);
        let found = starts.into_iter().map(one);
        Ok(match is_whole {
            true => Value::wholes(dims, found.map(|x| x as i64).collect()),
            false => Value::floats(dims, found.collect()),
        })
    };
    Some(reduced())
}

/// Softmax over one axis; before operator set 13 over all from it on.
pub(super) fn softmax(node: &NodeProto, x: &Value, opset: i64) -> Result<Value, String> {
    let rank = x.dims.len();
    let axis = axis_of(whole(node, "axis").unwrap_or(if opset < 13 { 1 } else { -1 }), rank)?;
    let mut values = x.as_floats()?;
    let (size, stride) = match opset < 13 {
        true => (x.dims[axis..].iter().product::<usize>(), 1),
        false => (x.dims[axis], strides(&x.dims)[axis]),
    };
    let log = node.op_type == "LogSoftmax";
    let block = size.saturating_mul(stride).max(1);
    for rows in values.chunks_mut(block) {
        for start in 0..stride {
            let at = |i: usize| start + i * stride;
            let most = (0..size).map(|i| rows[at(i)]).fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = (0..size).map(|i| (rows[at(i)] - most).exp()).sum();
            for i in 0..size {
                let less = rows[at(i)] - most;
                rows[at(i)] = if log { less - sum.ln() } else { less.exp() / sum };
            }
        }
    }
    Ok(Value::floats(x.dims.clone(), values))
}

/// LayerNormalization over all axes from one on.
pub(super) fn layer_norm(node: &NodeProto, x: &Value, gamma: &Value, beta: Option<&Value>) -> Result<Value, String> {
    let axis = axis_of(whole(node, "axis").unwrap_or(-1), x.dims.len())?;
    let size: usize = x.dims[axis..].iter().product();
    let weights = |value: &Value| match x.dims[axis..].ends_with(&value.dims) || value.len() == 1 {
        true => value.as_floats(),
        false => Err(format!("weights of the shape {:?} for {:?}", value.dims, x.dims)),
    };
    let (gamma, beta) = (weights(gamma)?, beta.map(weights).transpose()?.unwrap_or_else(|| vec![0.0]));
    let epsilon = number(node, "epsilon").unwrap_or(DEFAULT_EPSILON);
    let mut values = x.as_floats()?;
    if gamma.is_empty() || beta.is_empty() {
        return Err("weights without elements".into());
    }
    for row in values.chunks_mut(size.max(1)) {
        let mean = row.iter().sum::<f32>() / size as f32;
        let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / size as f32;
        let factor = (variance + epsilon).sqrt().recip();
        for (i, x) in row.iter_mut().enumerate() {
            *x = (*x - mean) * factor * gamma[i % gamma.len()] + beta[i % beta.len()];
        }
    }
    Ok(Value::floats(x.dims.clone(), values))
}

/// LpNormalization with p 1 or 2.
pub(super) fn lp_norm(node: &NodeProto, x: &Value) -> Result<Value, String> {
    let axis = axis_of(whole(node, "axis").unwrap_or(-1), x.dims.len())?;
    let (mut values, stride, size) = (x.as_floats()?, strides(&x.dims)[axis], x.dims[axis]);
    let p = whole(node, "p").unwrap_or(2);
    for rows in values.chunks_mut((size * stride).max(1)) {
        for start in 0..stride {
            let each = (0..size).map(|i| rows[start + i * stride]);
            let norm = if p == 1 { each.map(f32::abs).sum() } else { each.map(|x| x * x).sum::<f32>().sqrt() };
            (0..size).filter(|_| norm != 0.0).for_each(|i| rows[start + i * stride] /= norm);
        }
    }
    Ok(Value::floats(x.dims.clone(), values))
}

/// CumSum, from either end, with or without the element itself.
pub(super) fn running_sum(node: &NodeProto, x: &Value, axis: &Value) -> Result<Value, String> {
    let axis = match &axis.numbers {
        Numbers::Whole(axis) => axis.first().copied(),
        _ => axis.as_floats()?.first().map(|&axis| axis as i64),
    };
    let axis = axis_of(axis.ok_or("no axis")?, x.dims.len())?;
    let set = |name| whole(node, name).unwrap_or(0) != 0;
    let (exclusive, reverse) = (set("exclusive"), set("reverse"));
    let (stride, size) = (strides(&x.dims)[axis], x.dims[axis]);
    let mut values: Vec<f64> = match &x.numbers {
        Numbers::Whole(values) => values.iter().map(|&x| x as f64).collect(),
        _ => x.as_floats()?.into_iter().map(f64::from).collect(),
    };
    for rows in values.chunks_mut((size * stride).max(1)) {
        for start in 0..stride {
            let mut sum = 0.0;
            for i in 0..size {
                let i = if reverse { size - 1 - i } else { i };
                let x = &mut rows[start + i * stride];
                let before = sum;
                sum += *x;
                *x = if exclusive { before } else { sum };
            }
        }
    }
    Ok(match &x.numbers {
        Numbers::Whole(_) => Value::wholes(x.dims.clone(), values.into_iter().map(|x| x as i64).collect()),
        _ => Value::floats(x.dims.clone(), values.into_iter().map(|x| x as f32).collect()),
    })
}
