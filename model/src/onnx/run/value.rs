//! Arrays that a graph computes from sample tokens.

use super::super::tensor::{Data, Tensor};

/// Most dimensions of a value.
const MAX_RANK: usize = 8;

/// An array.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::onnx) struct Value {
    pub(in crate::onnx) dims: Vec<usize>,
    pub(in crate::onnx) numbers: Numbers,
    /// Scale and zero point, where the elements are codes with one of each.
    pub(in crate::onnx) codes: Option<(f32, f32)>,
}

/// Elements, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::onnx) enum Numbers {
    /// Floats, and codes of 8 bits, which are not rounded here.
    Float(Vec<f32>),
    /// Integers, and bool as 0 and 1.
    Whole(Vec<i64>),
    /// Only the shape is known.
    Unknown,
}

/// The number of elements of a shape, at most `limit`.
pub(super) fn count(dims: &[usize], limit: usize) -> Result<usize, String> {
    if dims.len() > MAX_RANK {
        return Err(format!("{} dimensions", dims.len()));
    }
    let elements = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= limit);
    elements.ok_or_else(|| format!("the shape {dims:?}, of more elements than encoders make"))
}

/// An axis, counted from the end where it is negative.
pub(super) fn axis_of(axis: i64, rank: usize) -> Result<usize, String> {
    let from_start = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(from_start)
        .ok()
        .filter(|&axis| axis < rank)
        .ok_or_else(|| format!("axis {axis} of {rank} dimensions"))
}

impl Value {
    pub(in crate::onnx) fn floats(dims: Vec<usize>, numbers: Vec<f32>) -> Value {
        Value { dims, numbers: Numbers::Float(numbers), codes: None }
    }

    pub(in crate::onnx) fn wholes(dims: Vec<usize>, numbers: Vec<i64>) -> Value {
        Value { dims, numbers: Numbers::Whole(numbers), codes: None }
    }

    pub(super) fn shape(dims: Vec<usize>) -> Value {
        Value { dims, numbers: Numbers::Unknown, codes: None }
    }

    /// A constant of the file.
    pub(super) fn of(tensor: &Tensor) -> Value {
        let dims = tensor.dims.clone();
        match &tensor.data {
            Data::Float(values) => Value::floats(dims, values.clone()),
            Data::Signed(codes) => Value::floats(dims, codes.iter().map(|&code| code.into()).collect()),
            Data::Unsigned(codes) => Value::floats(dims, codes.iter().map(|&code| code.into()).collect()),
            Data::Whole(values) => Value::wholes(dims, values.clone()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match &self.numbers {
            Numbers::Float(values) => values.len(),
            Numbers::Whole(values) => values.len(),
            Numbers::Unknown => 0,
        }
    }

    /// The elements as floats.
    pub(in crate::onnx) fn as_floats(&self) -> Result<Vec<f32>, String> {
        match &self.numbers {
            Numbers::Float(values) => Ok(values.clone()),
            Numbers::Whole(values) => Ok(values.iter().map(|&x| x as f32).collect()),
            Numbers::Unknown => Err("elements that depend on what was looked up".into()),
        }
    }

    /// The elements, which are integers.
    pub(in crate::onnx) fn as_wholes(&self) -> Result<&[i64], String> {
        match &self.numbers {
            Numbers::Whole(values) => Ok(values),
            Numbers::Float(_) => Err("floats where integers are needed".into()),
            Numbers::Unknown => Err("elements that depend on what was looked up".into()),
        }
    }

    /// The elements as floats; codes as what they stand for.
    pub(in crate::onnx) fn real(&self) -> Result<Vec<f32>, String> {
        let values = self.as_floats()?;
        Ok(match self.codes {
            Some((scale, zero)) => values.into_iter().map(|code| (code - zero) * scale).collect(),
            None => values,
        })
    }

    /// The same elements in another shape.
    pub(in crate::onnx) fn reshaped(&self, dims: Vec<usize>) -> Result<Value, String> {
        match count(&dims, usize::MAX)? == count(&self.dims, usize::MAX)? {
            true => Ok(Value { dims, ..self.clone() }),
            false => Err(format!("the shape {dims:?} for elements of {:?}", self.dims)),
        }
    }

    /// Elements at places of this one, in another shape. All places lie inside.
    pub(super) fn picked(&self, dims: Vec<usize>, places: impl Iterator<Item = usize>) -> Value {
        let numbers = match &self.numbers {
            Numbers::Float(values) => Numbers::Float(places.map(|i| values[i]).collect()),
            Numbers::Whole(values) => Numbers::Whole(places.map(|i| values[i]).collect()),
            Numbers::Unknown => Numbers::Unknown,
        };
        Value { dims, numbers, codes: self.codes }
    }
}

/// The shape of both operands together, of at most `limit` elements.
pub(in crate::onnx) fn broadcast(a: &[usize], b: &[usize], limit: usize) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let at = |dims: &[usize], i: usize| (i + dims.len()).checked_sub(rank).map_or(1, |i| dims[i]);
    let one = |i| match (at(a, i), at(b, i)) {
        (x, y) if x == y => Ok(x),
        (1, x) | (x, 1) => Ok(x),
        _ => Err(format!("operands of the shapes {a:?} and {b:?}")),
    };
    let dims: Vec<usize> = (0..rank).map(one).collect::<Result<_, _>>()?;
    count(&dims, limit).map(|_| dims)
}

/// Steps from one index of every dimension to the next, for a dense array.
pub(super) fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    (0..dims.len().saturating_sub(1)).rev().for_each(|i| strides[i] = strides[i + 1] * dims[i + 1]);
    strides
}

/// For every element of the shape `to`, its place with these strides.
pub(super) fn places(to: &[usize], strides: &[usize]) -> Vec<usize> {
    let mut places = vec![0usize];
    for (&size, &stride) in to.iter().zip(strides) {
        places = match (size, stride) {
            (1, _) => places,
            _ => places.iter().flat_map(|&place| (0..size).map(move |i| place + i * stride)).collect(),
        };
    }
    places
}

/// For every element of the shape `to`, the place of the element of the shape `from` that is repeated there.
pub(super) fn repeated(from: &[usize], to: &[usize]) -> Vec<usize> {
    let (own, missing) = (strides(from), to.len() - from.len());
    let step = |i: usize| match i.checked_sub(missing) {
        Some(i) if from[i] != 1 => own[i],
        _ => 0,
    };
    places(to, &(0..to.len()).map(step).collect::<Vec<_>>())
}

impl Value {
    /// This one, repeated to a shape that [`broadcast`] gave.
    pub(in crate::onnx) fn expanded(&self, to: &[usize]) -> Value {
        match (&self.numbers, self.dims == to) {
            (_, true) => self.clone(),
            (Numbers::Unknown, _) => Value::shape(to.to_vec()),
            _ => self.picked(to.to_vec(), repeated(&self.dims, to).into_iter()),
        }
    }
}
