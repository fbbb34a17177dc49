//! Values that are known before the graph runs.
//!
//! Folding handles the nodes that exporters and quantisers put between a stored weight and the product that reads it. A dequantised constant
//! remembers its codes, so that they can be used unchanged.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};

use super::constant::{Constant, Quantised, columns, is_foldable};
use super::expand::COLUMNS;
use super::graph::Graph;
use super::node::{attribute, input, output, whole};
use super::tensor::{Data, Tensor, is_float};
use crate::error::OnnxError;
use crate::error::Result;
use crate::proto::NodeProto;
use crate::transpose::transposed;

/// The number of the element type bool.
const BOOL: i64 = 9;
/// Longest chain of constant nodes.
const MAX_DEPTH: usize = 64;

/// Elements that may be made for every byte of the files.
const ELEMENTS_PER_BYTE: usize = 4;
/// Elements of initialisers that may be read for every byte of the files.
const READS_PER_BYTE: usize = 16;
/// Elements that may be made or read in addition.
const FREE_ELEMENTS: usize = 1 << 20;
/// Most dimensions of a number, and most elements of a list, that are looked at.
const MAX_SHORT: usize = 64;

impl Graph {
    /// A constant value; the caller knows that it is one.
    pub(super) fn fold(&self, value: &str) -> Result<Constant> {
        self.fold_at(value, 0)
    }

    fn fold_at(&self, value: &str, depth: usize) -> Result<Constant> {
        if let Some(proto) = self.initializer(value) {
            let tensor = Tensor::read(&self.file, proto)?;
            // Every reader gets a copy. Few constants are read more than a few times.
            self.within(&self.folder.read, tensor.data.len(), READS_PER_BYTE, value)?;
            return Ok(tensor.into());
        }
        let lock = |error: PoisonError<_>| PoisonError::into_inner(error);
        if let Some(made) = self.folder.made.lock().unwrap_or_else(lock).get(value) {
            return Ok(made.clone());
        }
        let Some(node) = self.maker(value).filter(|node| is_foldable(node) && output(node) == value) else {
            return Err(self.stop(value, "a constant").into());
        };
        if depth >= MAX_DEPTH {
            return Err(self
                .stop_with(value, "a longer chain", format!("at most {MAX_DEPTH} nodes on constants"))
                .into());
        }
        let made = self.fold_node(node, value, depth + 1)?;
        self.within(&self.folder.elements, made.tensor.data.len(), ELEMENTS_PER_BYTE, value)?;
        self.folder.made.lock().unwrap_or_else(PoisonError::into_inner).insert(value.to_owned(), made.clone());
        Ok(made)
    }

    /// Accounts for elements that were read or made.
    fn within(&self, count: &AtomicUsize, new: usize, per_byte: usize, value: &str) -> Result<()> {
        let elements = count.fetch_add(new, Relaxed).saturating_add(new);
        match elements > self.file.bytes().saturating_mul(per_byte).saturating_add(FREE_ELEMENTS) {
            true => Err(self.stop_with(value, "far more elements", "those of the weights a few times").into()),
            false => Ok(()),
        }
    }

    fn fold_node(&self, node: &NodeProto, value: &str, depth: usize) -> Result<Constant> {
        let operand = |i| input(node, i).map(|name| self.fold_at(name, depth)).transpose();
        let need = |i: usize| -> Result<Constant> {
            Ok(operand(i)?.ok_or_else(|| self.stop_with(value, format!("no input {i}"), "one"))?)
        };
        let refused = |why: &str| OnnxError::from(self.stop_with(value, why, "what can be computed from it"));
        if node.op_type == "Constant" {
            return self.constant(node, value);
        }
        let x: Constant = need(0)?;
        let reshaped = |dims: Vec<usize>| -> Result<Constant> {
            if dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) != Some(x.tensor.data.len()) {
                return Err(refused("a shape of another size").into());
            }
            let data = x.tensor.data.clone();
            Ok(Tensor::of(dims, data).into())
        };
        match &*node.op_type {
            "Identity" => Ok(x),
            "Cast" => {
                let to = whole(node, "to").unwrap_or_default();
                let bools = |bools: Vec<i64>| Ok(Tensor::of(x.tensor.dims.clone(), Data::Whole(bools)).into());
                match (&x.tensor.data, to) {
                    (Data::Float(_), to) if is_float(to) => Ok(x),
                    (Data::Float(values), BOOL) => bools(values.iter().map(|&x| (x != 0.0).into()).collect()),
                    (data, BOOL) => bools(data.wholes().unwrap_or_default().iter().map(|&x| (x != 0).into()).collect()),
                    (Data::Float(_), to) if !matches!(to, 6 | 7) => Err(refused("a cast to small integers").into()),
                    (Data::Float(values), _) => {
                        let whole = values.iter().map(|&x| x as i64).collect();
                        Ok(Tensor::of(x.tensor.dims.clone(), Data::Whole(whole)).into())
                    }
                    (data, to) if is_float(to) => {
                        let floats = data.wholes().unwrap_or_default().into_iter().map(|x| x as f32).collect();
                        Ok(Tensor::of(x.tensor.dims.clone(), Data::Float(floats)).into())
                    }
                    (data, 6 | 7) => {
                        let whole = data.wholes().unwrap_or_default();
                        Ok(Tensor::of(x.tensor.dims.clone(), Data::Whole(whole)).into())
                    }
                    _ => Err(refused("a cast to small integers").into()),
                }
            }
            "Transpose" => {
                let rank = x.tensor.dims.len();
                let order: Vec<usize> = match attribute(node, "perm") {
                    Some(perm) => perm.ints.iter().map(|&axis| usize::try_from(axis).unwrap_or(rank)).collect(),
                    None => (0..rank).rev().collect(),
                };
                transpose(&x, &order).ok_or_else(|| refused("an order that is none of its dimensions").into())
            }
            "Reshape" => {
                let shape = need(1)?.tensor.data.wholes().ok_or_else(|| refused("a shape of floats"))?;
                reshaped(resolved(&shape, &x.tensor).ok_or_else(|| refused("a shape that does not fit"))?)
            }
            "Flatten" => reshaped(match &x.tensor.dims[..] {
                [first, rest @ ..] if whole(node, "axis").unwrap_or(1) == 1 => vec![*first, rest.iter().product()],
                _ => return Err(refused("another axis than 1").into()),
            }),
            "Squeeze" | "Unsqueeze" => {
                let axes = match (attribute(node, "axes"), operand(1)?) {
                    (Some(axes), _) => Some(axes.ints.clone()),
                    (None, axes) => axes.and_then(|axes| axes.tensor.data.wholes()),
                };
                let dims = with_ones(&x.tensor.dims, axes.as_deref(), node.op_type == "Unsqueeze");
                reshaped(dims.ok_or_else(|| refused("axes that it does not have"))?)
            }
            COLUMNS => {
                let bound = |name| whole(node, name).and_then(|bound| usize::try_from(bound).ok());
                let part = bound("start").zip(bound("end")).and_then(|(start, end)| columns(&x, start, end));
                let found = || format!("the shape {:?}", x.tensor.dims);
                part.ok_or_else(|| self.stop_with(value, found(), "q, k and v beside each other").into())
            }
            "DequantizeLinear" | "QuantizeLinear" if whole(node, "block_size").unwrap_or(0) != 0 => {
                Err(refused("scales for blocks").into())
            }
            "DequantizeLinear" => {
                let zero = operand(2)?.map(|zero| zero.tensor);
                let axis = whole(node, "axis").unwrap_or(1);
                dequantize(&x.tensor, &need(1)?.tensor, zero.as_deref(), axis).map_err(|found| {
                    self.stop_with(value, found, "codes with a scale and a zero point, or one of each per row").into()
                })
            }
            "QuantizeLinear" => {
                let zero = operand(2)?.map(|zero| zero.tensor);
                let axis = whole(node, "axis").unwrap_or(1);
                let codes = quantize(&x.tensor, &need(1)?.tensor, zero.as_deref(), axis).map_err(|found| {
                    self.stop_with(value, found, "floats with a scale and a zero point, or one of each per row")
                })?;
                Ok(codes.into())
            }
            operation => {
                let y = operand(1)?.map(|y| y.tensor);
                elementwise(operation, &x.tensor, y.as_deref()).map(Constant::from).ok_or_else(|| {
                    refused("operands that are neither of one shape nor one of them a single number").into()
                })
            }
        }
    }

    fn constant(&self, node: &NodeProto, value: &str) -> Result<Constant> {
        let single = |data| Ok(Tensor::of(vec![], data).into());
        let list = |n, data| Ok(Tensor::of(vec![n], data).into());
        for attribute in &node.attribute {
            match &*attribute.name {
                "value" => match &attribute.t {
                    Some(proto) => return Ok(Tensor::read(&self.file, proto)?.into()),
                    None => continue,
                },
                "value_float" => return single(Data::Float(vec![attribute.f.unwrap_or_default()])),
                "value_int" => return single(Data::Whole(vec![attribute.i.unwrap_or_default()])),
                "value_floats" => return list(attribute.floats.len(), Data::Float(attribute.floats.clone())),
                "value_ints" => return list(attribute.ints.len(), Data::Whole(attribute.ints.clone())),
                _ => continue,
            }
        }
        Err(self.stop_with(value, "no number in it", "a tensor, a number or numbers").into())
    }

    /// The one number that a constant value is.
    pub(super) fn scalar(&self, value: &str) -> Option<f32> {
        if !self.is_constant(value) {
            return None;
        }
        // Whole tables would be read to find that they are no number.
        match self.initializer(value) {
            Some(proto) if proto.dims.len() > MAX_SHORT || proto.dims.iter().any(|&d| d != 1) => None,
            _ => self.fold(value).ok()?.tensor.scalar(),
        }
    }

    /// The whole numbers of a short constant.
    pub(super) fn wholes(&self, value: &str) -> Option<Vec<i64>> {
        if !self.is_constant(value) {
            return None;
        }
        match self.initializer(value) {
            Some(proto) if proto.dims.len() > 1 || proto.dims.iter().any(|&d| d > MAX_SHORT as i64) => None,
            _ => {
                let constant = self.fold(value).ok()?;
                (constant.tensor.data.len() <= MAX_SHORT).then(|| constant.tensor.data.wholes())?
            }
        }
    }
}

impl From<Tensor> for Constant {
    fn from(tensor: Tensor) -> Constant {
        Constant { tensor: Arc::new(tensor), quantised: None }
    }
}

/// A shape with 0 (as it was) and -1 (what is left) replaced.
fn resolved(shape: &[i64], x: &Tensor) -> Option<Vec<usize>> {
    let known = |(i, &d): (usize, &i64)| match d {
        0 => x.dims.get(i).copied(),
        -1 => Some(1),
        d => usize::try_from(d).ok(),
    };
    let mut dims: Vec<usize> = shape.iter().enumerate().map(known).collect::<Option<_>>()?;
    if let Some(free) = shape.iter().position(|&d| d == -1) {
        let others = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n > 0)?;
        dims[free] = x.data.len() / others;
    }
    Some(dims)
}

/// Dimensions of one put in, or taken out.
fn with_ones(dims: &[usize], axes: Option<&[i64]>, insert: bool) -> Option<Vec<usize>> {
    let rank = dims.len() + if insert { axes.map_or(0, <[i64]>::len) } else { 0 };
    let at = |&axis: &i64| usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok().filter(|&a| a < rank);
    let axes: Option<Vec<usize>> = axes
        .map(|axes| axes.iter().map(at).collect::<Option<_>>())
        .unwrap_or_else(|| Some(dims.iter().enumerate().filter(|(_, d)| **d == 1).map(|(i, _)| i).collect()));
    let axes = axes.filter(|_| rank <= 8)?;
    let mut rest = dims.iter().copied();
    match insert {
        true => (0..rank).map(|i| if axes.contains(&i) { Some(1) } else { rest.next() }).collect(),
        false => {
            let kept = dims.iter().enumerate().filter(|(i, _)| !axes.contains(i));
            let removed_ones = axes.iter().all(|&i| dims[i] == 1);
            removed_ones.then(|| kept.map(|(_, &d)| d).collect())
        }
    }
}

/// A tensor with its dimensions in another order, and its codes with it.
fn transpose(x: &Constant, order: &[usize]) -> Option<Constant> {
    let dims = &x.tensor.dims;
    let mut seen = vec![false; dims.len()];
    for &axis in order {
        *seen.get_mut(axis)? = true;
    }
    if order.len() != dims.len() || seen.contains(&false) {
        return None;
    }
    fn moved<T: Copy + Default + Send + Sync>(data: &[T], dims: &[usize], order: &[usize]) -> Vec<T> {
        match (dims, order) {
            (_, order) if order.is_sorted() => data.to_vec(),
            ([m, k], _) => transposed(*m, *k, data),
            _ => {
                let mut strides = vec![1; dims.len()];
                (0..dims.len().saturating_sub(1)).rev().for_each(|i| strides[i] = strides[i + 1] * dims[i + 1]);
                let element = |mut i: usize| {
                    let mut at = 0;
                    for &axis in order.iter().rev() {
                        at += i % dims[axis] * strides[axis];
                        i /= dims[axis];
                    }
                    data[at]
                };
                (0..data.len()).map(element).collect()
            }
        }
    }
    let data = match &x.tensor.data {
        Data::Float(values) => Data::Float(moved(values, dims, order)),
        Data::Signed(values) => Data::Signed(moved(values, dims, order)),
        Data::Unsigned(values) => Data::Unsigned(moved(values, dims, order)),
        Data::Whole(values) => Data::Whole(moved(values, dims, order)),
    };
    let quantised = x.quantised.as_deref().map(|q| Quantised {
        codes: q.codes.as_ref().map(|codes| moved(codes, dims, order)),
        scale: q.scale.clone(),
        axis: q.axis.and_then(|axis| order.iter().position(|&from| from == axis)),
    });
    let dims = order.iter().map(|&axis| dims[axis]).collect();
    Some(Constant { tensor: Arc::new(Tensor { dims, data }), quantised: quantised.map(Arc::new) })
}

/// Which scale and zero point an element has.
struct Steps {
    scale: Vec<f32>,
    zero: Vec<i64>,
    axis: Option<usize>,
    /// Elements from one index of the axis to the next.
    stride: usize,
}

impl Steps {
    fn new(dims: &[usize], scale: &Tensor, zero: Option<&Tensor>, axis: i64) -> Result<Steps, String> {
        let scales = scale.floats().ok_or("scales that are no floats")?;
        if let Some(bad) = scales.iter().find(|scale| !scale.is_normal() || **scale < 0.0) {
            return Err(format!("the scale {bad}, which is not positive and normal"));
        }
        let zero = zero.map(|zero| zero.data.wholes().ok_or("zero points that are floats")).transpose()?;
        let zero = zero.unwrap_or_else(|| vec![0; scales.len()]);
        if zero.len() != scales.len() {
            return Err(format!("{} scales and {} zero points", scales.len(), zero.len()));
        }
        let (values, rank) = (scales.to_vec(), dims.len() as i64);
        if values.len() == 1 {
            return Ok(Steps { scale: values, zero, axis: None, stride: 1 });
        }
        if scale.dims.len() != 1 {
            return Err(format!("scales of the shape {:?}", scale.dims));
        }
        let scale = values;
        let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).unwrap_or(usize::MAX);
        match dims.get(axis) {
            Some(&d) if d == scale.len() => {
                Ok(Steps { scale, zero, axis: Some(axis), stride: dims[axis + 1..].iter().product::<usize>().max(1) })
            }
            _ => Err(format!("{} scales for axis {axis} of the shape {dims:?}", scale.len())),
        }
    }

    fn at(&self, i: usize) -> (f32, i64) {
        let step = i / self.stride % self.scale.len().max(1);
        (self.scale.get(step).copied().unwrap_or(1.0), self.zero.get(step).copied().unwrap_or(0))
    }
}

/// Codes with scale and zero point as f32.
pub(super) fn dequantize(x: &Tensor, scale: &Tensor, zero: Option<&Tensor>, axis: i64) -> Result<Constant, String> {
    let steps = Steps::new(&x.dims, scale, zero, axis)?;
    let code = |i: usize| -> i64 {
        match &x.data {
            Data::Float(_) => 0, // refused below
            Data::Signed(codes) => codes[i].into(),
            Data::Unsigned(codes) => codes[i].into(),
            Data::Whole(codes) => codes[i],
        }
    };
    if matches!(x.data, Data::Float(_)) {
        return Err("codes that are floats".into());
    }
    let less = |i: usize| code(i).saturating_sub(steps.at(i).1);
    let values = (0..x.data.len()).map(|i| less(i) as f32 * steps.at(i).0).collect();
    let narrow = match &x.data {
        Data::Signed(_) | Data::Unsigned(_) => (0..x.data.len()).map(|i| i8::try_from(less(i)).ok()).collect(),
        _ => None,
    };
    let is_bytes = !matches!(x.data, Data::Whole(_));
    let quantised = is_bytes.then(|| Arc::new(Quantised { codes: narrow, scale: steps.scale, axis: steps.axis }));
    Ok(Constant { tensor: Arc::new(Tensor { dims: x.dims.clone(), data: Data::Float(values) }), quantised })
}

/// f32 as codes: rounded to nearest even, saturated.
fn quantize(x: &Tensor, scale: &Tensor, zero: Option<&Tensor>, axis: i64) -> Result<Tensor, String> {
    let steps = Steps::new(&x.dims, scale, zero, axis)?;
    let values = x.floats().ok_or("values that are no floats")?;
    let code = |(i, value): (usize, &f32)| {
        let (scale, zero) = steps.at(i);
        (value / scale).round_ties_even() + zero as f32
    };
    let codes = values.iter().enumerate().map(code);
    let data = match zero.map(|zero| &zero.data) {
        Some(Data::Signed(_)) => Data::Signed(codes.map(|code| code as i8).collect()),
        None | Some(Data::Unsigned(_)) => Data::Unsigned(codes.map(|code| code as u8).collect()),
        _ => return Err("zero points of more than 8 bits".into()),
    };
    Ok(Tensor { dims: x.dims.clone(), data })
}

/// Of equal shapes, or with one operand a single number.
fn elementwise(operation: &str, x: &Tensor, y: Option<&Tensor>) -> Option<Tensor> {
    let binary = |f: fn(f32, f32) -> f32| -> Option<Tensor> {
        let y = y?;
        let (a, b) = (x.floats()?, y.floats()?);
        let (dims, values) = match (x.scalar(), y.scalar()) {
            (_, Some(b)) if x.dims.len() >= y.dims.len() => (&x.dims, a.iter().map(|&a| f(a, b)).collect()),
            (Some(a), _) if y.dims.len() >= x.dims.len() => (&y.dims, b.iter().map(|&b| f(a, b)).collect()),
            _ if x.dims == y.dims => (&x.dims, a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect()),
            _ => return None,
        };
        Some(Tensor::of(dims.clone(), Data::Float(values)))
    };
    let unary =
        |f: fn(f32) -> f32| Some(Tensor::of(x.dims.clone(), Data::Float(x.floats()?.iter().map(|&x| f(x)).collect())));
    match operation {
        "Add" => binary(|a, b| a + b),
        "Sub" => binary(|a, b| a - b),
        "Mul" => binary(|a, b| a * b),
        "Div" => binary(|a, b| a / b),
        "Sqrt" => unary(f32::sqrt),
        "Neg" => unary(|x| -x),
        "Reciprocal" => unary(f32::recip),
        _ => None,
    }
}
