//! Nodes in the order in which they run.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::super::expand::{INTERNAL, MASKED};
use super::super::graph::Graph;
use super::super::node::{attribute, input, number, output, whole};
use super::super::tensor::{Data, Tensor};
use super::value::Value;
use super::{elementwise, masks, movement, product, reduce};
use crate::error::{OnnxError, Result};
use crate::proto::NodeProto;

/// What errors expect.
const EXPECTED: &str = "what can be computed from sample tokens";
/// Elements that may be made in addition to some for every byte of the files.
const FREE_ELEMENTS: usize = 1 << 22;
/// Multiplications that may be made in addition.
const FREE_STEPS: usize = 1 << 28;
/// Multiplications for every token and every byte of the files.
const STEPS_PER_BYTE: usize = 4;
/// Largest part of a value that may lie outside the range of its codes.
const MAX_CUT: f32 = 0.5;
/// Part from which a note says so: calibration on other texts cuts a few.
const NOTED_CUT: f32 = 0.125;
/// Deepest nesting of constants that folding does not know.
const MAX_DEPTH: usize = 32;

/// What the inputs of a graph are given.
pub(in crate::onnx) struct Feed {
    pub(in crate::onnx) inputs: HashMap<String, Value>,
    /// Tokens of all sequences together.
    pub(in crate::onnx) tokens: usize,
    /// Whether rows are looked up; else only shapes of what depends on them are known.
    pub(in crate::onnx) looks_up: bool,
}

/// A run.
pub(in crate::onnx) struct Runner<'g> {
    pub(super) graph: &'g Graph,
    feed: Feed,
    values: HashMap<&'g str, Value>,
    elements: usize,
    steps: usize,
    notes: RefCell<Vec<String>>,
}

impl<'g> Runner<'g> {
    /// Computes values; all others are dropped as soon as nothing needs them.
    pub(in crate::onnx) fn run(graph: &'g Graph, feed: Feed, targets: &[&'g str]) -> Result<Runner<'g>> {
        let mut runner =
            Runner { graph, feed, values: HashMap::new(), elements: 0, steps: 0, notes: RefCell::default() };
        let targets: HashSet<&str> = targets.iter().copied().collect();
        let mut waiting: HashMap<&str, usize> = HashMap::new();
        let (mut open, mut needed) = (targets.iter().copied().collect::<Vec<_>>(), HashSet::new());
        while let Some(value) = open.pop() {
            let Some(place) = graph.place(value).filter(|_| !graph.is_constant(value)) else { continue };
            let Some(node) = graph.at(place).filter(|_| needed.insert(place)) else { continue };
            for name in node.input.iter().map(String::as_str).filter(|name| !name.is_empty()) {
                *waiting.entry(name).or_default() += 1;
                open.push(name);
            }
        }
        for node in graph.nodes() {
            let is_needed = node.output.iter().find_map(|name| graph.place(name)).is_some_and(|i| needed.contains(&i));
            if !is_needed {
                continue;
            }
            let made = runner.node(node).map_err(|error| runner.located(node, error))?;
            for (name, value) in node.output.iter().zip(made) {
                runner.values.insert(name, value);
            }
            for name in node.input.iter().map(String::as_str) {
                let left = waiting.get_mut(name);
                let is_last = left.is_some_and(|left| {
                    *left -= 1;
                    *left == 0
                });
                if is_last && !targets.contains(name) {
                    runner.values.remove(name);
                }
            }
        }
        Ok(runner)
    }

    /// What a reader should know.
    pub(in crate::onnx) fn notes(&self) -> Vec<String> {
        self.notes.borrow().clone()
    }

    /// A value that was asked for.
    pub(in crate::onnx) fn value(&self, name: &str) -> Result<Value> {
        self.get(name, 0).map_err(|error| match error {
            Stop::Here(found) => self.graph.stop_with(name, found, EXPECTED).into(),
            Stop::There(error) => error,
        })
    }

    fn located(&self, node: &NodeProto, error: Stop) -> crate::error::Error {
        match error {
            Stop::Here(found) => self.graph.stop_with(output(node), found, EXPECTED).into(),
            Stop::There(error) => error,
        }
    }

    pub(super) fn get(&self, name: &str, depth: usize) -> Result<Value, Stop> {
        if let Some(value) = self.values.get(name).or_else(|| self.feed.inputs.get(name)) {
            return Ok(value.clone());
        }
        if !self.graph.is_constant(name) {
            return Err(Stop::Here(format!("{}, which has no value here", self.graph.describe(name))));
        }
        match self.graph.fold(name) {
            Ok(constant) => Ok(Value::of(&constant.tensor)),
            Err(error) => match self.graph.maker(name).filter(|node| depth < MAX_DEPTH && output(node) == name) {
                Some(node) => {
                    let operands = self.operands(node, depth + 1)?;
                    let made = self.computed(node, &operands, self.limit())?;
                    made.into_iter().next().ok_or(Stop::There(error))
                }
                None => Err(Stop::There(error)),
            },
        }
    }

    fn operands(&self, node: &NodeProto, depth: usize) -> Result<Vec<Option<Value>>, Stop> {
        (0..node.input.len()).map(|i| input(node, i).map(|name| self.get(name, depth)).transpose()).collect()
    }

    /// Elements that may still be made.
    pub(super) fn limit(&self) -> usize {
        let bytes = self.graph.file.bytes();
        bytes.saturating_add(FREE_ELEMENTS).saturating_sub(self.elements)
    }

    fn node(&mut self, node: &'g NodeProto) -> Result<Vec<Value>, Stop> {
        let limit = self.limit();
        let made = match !self.feed.looks_up && self.graph.is_tainted(output(node)) {
            true => self.shapes(node)?,
            false => self.product(node)?.map_or_else(
                || self.operands(node, 0).and_then(|operands| self.computed(node, &operands, limit)),
                |value| Ok(vec![value]),
            )?,
        };
        let elements: usize = made.iter().map(Value::len).sum();
        self.elements = self.elements.saturating_add(elements);
        match elements <= limit {
            true => Ok(made),
            false => Err("far more elements than those of the weights".into()),
        }
    }

    fn constant(&self, name: &str) -> Result<Option<Arc<Tensor>>, Stop> {
        match self.graph.is_constant(name) {
            true => Ok(Some(self.graph.fold(name).map_err(Stop::There)?.tensor)),
            false => Ok(None),
        }
    }

    /// Products with weights and rows of tables, whose constants are not copied; none for other nodes.
    fn product(&mut self, node: &NodeProto) -> Result<Option<Value>, Stop> {
        let weight = match &*node.op_type {
            "MatMul" | "MatMulInteger" | "Gemm" => input(node, 1),
            "QLinearMatMul" => input(node, 3),
            "Gather" => input(node, 0),
            _ => return Ok(None),
        };
        let Some(weight) = weight else { return Err("too few inputs".into()) };
        let get = |i: usize| -> Result<Value, Stop> {
            input(node, i).map_or_else(|| Err(format!("no input {i}").into()), |name| self.get(name, 0))
        };
        let optional = |i: usize| input(node, i).map(|name| self.get(name, 0)).transpose();
        if node.op_type == "Gather" {
            return match self.constant(weight)? {
                Some(table) if whole(node, "axis").unwrap_or(0) == 0 => Ok(Some(rows(&table, &get(1)?, self.limit())?)),
                _ => Ok(None),
            };
        }
        let limit = self.limit();
        let a = get(0)?;
        let constant = self.constant(weight)?;
        let other = if constant.is_none() { Some(self.get(weight, 0)?) } else { None };
        let dims = constant.as_ref().map_or_else(|| other.as_ref().map(|b| b.dims.clone()), |b| Some(b.dims.clone()));
        let dims = dims.unwrap_or_default();
        let steps = product::steps(&a.dims, &dims);
        let allowed = self.graph.file.bytes().saturating_mul(STEPS_PER_BYTE).saturating_mul(self.feed.tokens);
        if self.steps.saturating_add(steps) > allowed.saturating_add(FREE_STEPS) {
            return Err("far more multiplications than those of the weights".into());
        }
        let held: Vec<f32>;
        let b: &[f32] = match (&constant, &other) {
            (Some(tensor), _) if tensor.floats().is_some() => tensor.floats().unwrap_or_default(),
            (Some(tensor), _) => {
                held = Value::of(tensor).as_floats()?;
                &held
            }
            (None, other) => {
                held = other.as_ref().map_or_else(|| Ok(vec![]), Value::as_floats)?;
                &held
            }
        };
        let made = match &*node.op_type {
            "MatMul" => product::mat_mul_of(&a.dims, &a.as_floats()?, &dims, b, limit)?,
            "Gemm" => {
                let set = |name| whole(node, name).unwrap_or(0) != 0;
                let a = if set("transA") { movement::transpose(&NodeProto::default(), &a)? } else { a };
                let (alpha, beta) = (number(node, "alpha").unwrap_or(1.0), number(node, "beta").unwrap_or(1.0));
                let made = product::gemm(&a, (&dims, b), set("transB"), alpha)?;
                match optional(2)? {
                    None => made,
                    Some(c) => {
                        let c = Value::floats(c.dims.clone(), c.as_floats()?.into_iter().map(|x| x * beta).collect());
                        elementwise::binary("Add", &[made, c], limit).ok_or_else(|| Stop::from("no sum"))??
                    }
                }
            }
            "MatMulInteger" => {
                let less = |x: f32, _: f32, zero: f32| x - zero;
                let one = Value::floats(vec![], vec![1.0]);
                let a = product::with_steps(&a, &one, optional(2)?.as_ref(), -2, less)?;
                let b = Value::floats(dims, b.to_vec());
                let b = product::with_steps(&b, &one, optional(3)?.as_ref(), -1, less)?;
                product::mat_mul(&a, &b, limit)?
            }
            _ => {
                let real = |x: f32, scale: f32, zero: f32| (x - zero) * scale;
                let a = product::with_steps(&a, &get(1)?, optional(2)?.as_ref(), -2, real)?;
                let b = Value::floats(dims, b.to_vec());
                let b = product::with_steps(&b, &get(4)?, optional(5)?.as_ref(), -1, real)?;
                self.quantised(node, &product::mat_mul(&a, &b, limit)?, &get(6)?, optional(7)?.as_ref(), (7, -1))?
            }
        };
        self.steps += steps;
        Ok(Some(made))
    }

    /// Codes of a value, not rounded. Too many of them outside their range are an error.
    fn quantised(
        &self,
        node: &NodeProto,
        x: &Value,
        scale: &Value,
        zero: Option<&Value>,
        (zero_input, axis): (usize, i64),
    ) -> Result<Value, Stop> {
        let codes = product::with_steps(x, scale, zero, axis, |x, scale, zero| x / scale + zero)?;
        let kind = input(node, zero_input).map(|name| self.constant(name)).transpose()?.flatten();
        if let Some((least, most)) = product::code_range(kind.as_ref().map(|tensor| &tensor.data)) {
            let values = codes.as_floats()?;
            let cut = values.iter().filter(|&&code| !(least - 1.0..=most + 1.0).contains(&code)).count();
            let found = format!("a scale with which {cut} of {} sample values are cut off", values.len());
            if cut as f32 > MAX_CUT * values.len() as f32 {
                return Err(found.into());
            }
            if cut as f32 > NOTED_CUT * values.len() as f32 {
                let note = format!(
                    "{found}, at {}; what is computed in f32 is not cut off",
                    self.graph.describe(output(node))
                );
                self.notes.borrow_mut().push(note);
            }
        }
        let one = |value: &Value| value.as_floats().ok().filter(|v| v.len() == 1).and_then(|v| v.first().copied());
        let zero = zero.map_or(Some(0.0), one);
        Ok(Value { codes: one(scale).zip(zero), ..codes })
    }

    /// Every operator but products.
    fn computed(&self, node: &NodeProto, operands: &[Option<Value>], limit: usize) -> Result<Vec<Value>, Stop> {
        let optional = |i: usize| operands.get(i).and_then(Option::as_ref);
        let get = |i: usize| optional(i).ok_or_else(|| Stop::from(format!("no input {i}")));
        let one = |value: Value| Ok(vec![value]);
        if node.domain == INTERNAL && node.op_type == MASKED {
            return one(masks::masked(get(0)?, get(1)?, limit)?);
        }
        let all: Vec<Value> = operands.iter().flatten().cloned().collect();
        if let Some(found) = elementwise::binary(&node.op_type, &all, limit) {
            return one(found?);
        }
        match &*node.op_type {
            "Constant" => one(Value::of(&self.graph.fold(output(node)).map_err(Stop::There)?.tensor)),
            "Identity" => one(get(0)?.clone()),
            "Dropout" => {
                let is_training = optional(2).is_some_and(|training| training.as_wholes().is_ok_and(|t| t != [0]));
                match is_training {
                    true => Err("dropout as in training".into()),
                    false => one(get(0)?.clone()),
                }
            }
            "Cast" => one(elementwise::cast(get(0)?, whole(node, "to").unwrap_or_default())?),
            "CastLike" => {
                let to = if matches!(get(1)?.numbers, super::value::Numbers::Whole(_)) { 7 } else { 1 };
                one(elementwise::cast(get(0)?, to)?)
            }
            "Where" => one(elementwise::chosen(get(0)?, get(1)?, get(2)?, limit)?),
            "Clip" => one(elementwise::clipped(node, get(0)?, optional(1), optional(2))?),
            "Reshape" => one(movement::reshape(node, get(0)?, get(1)?)?),
            "Flatten" => one(movement::flatten(node, get(0)?)?),
            "Squeeze" => one(movement::squeeze(get(0)?, movement::axes(node, optional(1))?)?),
            "Unsqueeze" => one(movement::unsqueeze(get(0)?, movement::axes(node, optional(1))?)?),
            "Transpose" => one(movement::transpose(node, get(0)?)?),
            "Concat" => one(movement::concat(node, &all)?),
            "Split" => Ok(movement::split(node, get(0)?, optional(1))?),
            "Slice" => one(movement::slice(node, get(0)?, [1, 2, 3, 4].map(optional))?),
            "Gather" => one(movement::gather(node, get(0)?, get(1)?, limit)?),
            "GatherElements" => one(movement::gather_elements(node, get(0)?, get(1)?)?),
            "GatherND" => one(movement::gather_nd(node, get(0)?, get(1)?, limit)?),
            "Expand" => one(movement::expand(get(0)?, get(1)?, limit)?),
            "Tile" => one(movement::tile(get(0)?, get(1)?, limit)?),
            "Range" => one(movement::range(get(0)?, get(1)?, get(2)?)?),
            "Trilu" => one(movement::triangle(node, get(0)?, optional(1))?),
            "ConstantOfShape" => {
                let fill = attribute(node, "value").and_then(|fill| fill.t.as_ref());
                let fill = fill.map(|fill| Tensor::read(&self.graph.file, fill).map_err(Stop::There)).transpose()?;
                one(movement::filled(get(0)?, fill.map(|fill| Value::of(&fill)).as_ref(), limit)?)
            }
            "Shape" => one(shape(node, &get(0)?.dims)),
            "Size" => one(Value::wholes(vec![], vec![get(0)?.dims.iter().product::<usize>() as i64])),
            "Softmax" | "LogSoftmax" => one(reduce::softmax(node, get(0)?, self.graph.opset)?),
            "LayerNormalization" => one(reduce::layer_norm(node, get(0)?, get(1)?, optional(2))?),
            "LpNormalization" => one(reduce::lp_norm(node, get(0)?)?),
            "CumSum" => one(reduce::running_sum(node, get(0)?, get(1)?)?),
            "QuantizeLinear" => {
                let axis = whole(node, "axis").unwrap_or(1);
                one(self.quantised(node, get(0)?, get(1)?, optional(2), (2, axis))?)
            }
            "DequantizeLinear" => one(dequantised(node, get(0)?, get(1)?, optional(2))?),
            "DynamicQuantizeLinear" => Ok(product::dynamic(get(0)?)?.into()),
            operator => {
                if operator.starts_with("Reduce") {
                    let axes = movement::axes(node, optional(1))?;
                    let Some(axes) = reduce::reduced_axes(node, axes, get(0)?.dims.len())? else {
                        return one(get(0)?.clone());
                    };
                    if let Some(found) = reduce::reduce(node, get(0)?, &axes) {
                        return one(found?);
                    }
                }
                match elementwise::unary(node, get(0)?) {
                    Some(found) => one(found?),
                    None => Err(format!("operator {operator}, which is not run").into()),
                }
            }
        }
    }
}

/// The entries of a shape from `start` to `end`.
pub(super) fn shape(node: &NodeProto, dims: &[usize]) -> Value {
    let rank = dims.len() as i64;
    let bound =
        |at: i64| usize::try_from(if at < 0 { at.saturating_add(rank) } else { at }.clamp(0, rank)).unwrap_or(0);
    let (from, to) = (bound(whole(node, "start").unwrap_or(0)), bound(whole(node, "end").unwrap_or(i64::MAX)));
    let part = dims.get(from..to).unwrap_or_default();
    Value::wholes(vec![part.len()], part.iter().map(|&d| d as i64).collect())
}

/// Codes as what they stand for: with the scale and zero point with which they were made.
fn dequantised(node: &NodeProto, x: &Value, scale: &Value, zero: Option<&Value>) -> Result<Value, Stop> {
    if whole(node, "block_size").unwrap_or(0) != 0 {
        return Err("scales for blocks".into());
    }
    let axis = whole(node, "axis").unwrap_or(1);
    let real = product::with_steps(x, scale, zero, axis, |x, scale, zero| (x - zero) * scale)?;
    let Some((with, at)) = x.codes else { return Ok(real) };
    let scale = scale.as_floats()?;
    let zero = zero.map(Value::as_floats).transpose()?.unwrap_or_else(|| vec![0.0]);
    match scale.iter().all(|&s| s == with) && zero.iter().all(|&z| z == at) {
        true => Ok(real),
        false => Err(format!(
            "codes that were made with the scale {with} and the zero point {at}, and are read with {:?} and {:?}",
            scale.first(),
            zero.first()
        )
        .into()),
    }
}

/// Rows of a table.
fn rows(table: &Tensor, indices: &Value, limit: usize) -> Result<Value, Stop> {
    let [rows, inner @ ..] = &table.dims[..] else { return Err("a table without rows".into()) };
    let size: usize = inner.iter().product();
    let mut dims = indices.dims.clone();
    dims.extend(inner);
    super::value::count(&dims, limit)?;
    let mut picked = Vec::new();
    for &at in indices.as_wholes()? {
        let row = super::value::axis_of(at, *rows).map_err(|_| format!("the index {at} of {rows} rows"))?;
        picked.push(row * size..(row + 1) * size);
    }
    fn of<T: Copy>(data: &[T], picked: Vec<std::ops::Range<usize>>) -> Vec<T> {
        picked.into_iter().flat_map(|row| data[row].iter().copied()).collect()
    }
    let data = match &table.data {
        Data::Float(values) => Data::Float(of(values, picked)),
        Data::Signed(codes) => Data::Signed(of(codes, picked)),
        Data::Unsigned(codes) => Data::Unsigned(of(codes, picked)),
        Data::Whole(values) => Data::Whole(of(values, picked)),
    };
    Ok(Value::of(&Tensor::of(dims, data)))
}

/// Why a node does not run: at the node itself, or with an error that says where.
pub(super) enum Stop {
    Here(String),
    There(crate::error::Error),
}

impl From<String> for Stop {
    fn from(found: String) -> Stop {
        Stop::Here(found)
    }
}

impl From<&str> for Stop {
    fn from(found: &str) -> Stop {
        Stop::Here(found.to_owned())
    }
}

impl From<OnnxError> for Stop {
    fn from(error: OnnxError) -> Stop {
        Stop::There(error.into())
    }
}
