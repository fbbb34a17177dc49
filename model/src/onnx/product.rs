//! Linear layers: products of a hidden state with a constant, in f32 and in the forms of int8.

use super::chain::Pass;
use super::constant::{Constant, Quantised};
use super::fold::dequantize;
use super::graph::Graph;
use super::node::{input, named, number, output, whole};
use super::tensor::{Data, Tensor};
use crate::codes::{LinearCodes, TensorQuant};
use crate::error::OnnxError;
use crate::error::WeightError;
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::proto::NodeProto;
use crate::transpose::transposed;
use crate::weights::Linear;

/// Deepest nesting of factors around an integer product.
const MAX_FACTORS: usize = 6;

/// A linear layer as nodes.
#[derive(Clone)]
pub(super) struct Product<'g> {
    /// The matrix product.
    pub(super) node: &'g NodeProto,
    /// What it reads, before it was rounded.
    pub(super) input: &'g str,
    /// How that was rounded.
    pub(super) rounding: Rounding,
    /// How its output is rounded by the product itself.
    pub(super) output_rounding: Option<TensorQuant>,
    weights: Weights<'g>,
    /// Additions in f32.
    biases: Vec<&'g str>,
}

/// How a tensor is rounded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rounding {
    /// Not at all.
    None,
    /// As found when the graph runs.
    Dynamic,
    /// With one scale and zero point.
    Fixed(TensorQuant),
    /// In another way, for instance with a scale per feature.
    Other,
}

#[derive(Clone)]
enum Weights<'g> {
    /// `[K][M]`, or `[M][K]`.
    Float { weight: &'g str, by_output: bool },
    /// Codes `[K][M]`; sums are multiplied with the factors.
    Integer { weight: &'g str, zero: Option<&'g str>, sums: Sums<'g> },
    /// Codes `[K][M]` with a scale.
    Linear { weight: &'g str, scale: &'g str, zero: Option<&'g str> },
}

/// A MatMulInteger, and what leads from its sums to f32.
#[derive(Clone)]
pub(super) struct Sums<'g> {
    pub(super) node: &'g NodeProto,
    factors: Vec<&'g str>,
    /// s32.
    bias: Option<&'g str>,
}

/// A linear layer that was read.
pub(super) struct Loaded {
    pub(super) linear: Linear,
    pub(super) codes: Option<LinearCodes>,
    /// Whether the file has codes that are no s8 with a scale per output.
    pub(super) inexact: bool,
}

impl<'g> Product<'g> {
    /// With constants that are added behind the layer.
    pub(super) fn with_biases(mut self, biases: &[&'g str]) -> Product<'g> {
        self.biases.extend(biases);
        self
    }
}

impl Graph {
    /// The linear layer that makes a value, but for its shape and rounding.
    pub(super) fn product<'g>(&'g self, value: &'g str) -> Option<Product<'g>> {
        let mut value = value;
        let mut biases = Vec::new();
        loop {
            let node = self.maker(value).filter(|_| self.is_tainted(value))?;
            let (a, b) = (input(node, 0)?, input(node, 1));
            let is_weight = |value: Option<&'g str>| value.filter(|value| self.is_constant(value));
            let float = |weight, by_output, biases| {
                let (root, rounding) = self.read(a);
                let weights = Weights::Float { weight, by_output };
                Some(Product { node, input: root, rounding, output_rounding: None, weights, biases })
            };
            match &*node.op_type {
                "Add" => {
                    let (constant, other) = if self.is_constant(a) { (a, b?) } else { (b?, a) };
                    is_weight(Some(constant))?;
                    biases.push(constant);
                    value = other;
                }
                "MatMul" => return float(is_weight(b)?, false, biases),
                "Gemm" => {
                    let plain = whole(node, "transA").unwrap_or(0) == 0
                        && number(node, "alpha").unwrap_or(1.0) == 1.0
                        && (number(node, "beta").unwrap_or(1.0) == 1.0 || input(node, 2).is_none());
                    if let Some(bias) = input(node, 2) {
                        biases.push(is_weight(Some(bias))?);
                    }
                    return plain.then(|| float(is_weight(b)?, whole(node, "transB").unwrap_or(0) != 0, biases))?;
                }
                "QLinearMatMul" => {
                    let [a_scale, weight, scale, out_scale] = [1, 3, 4, 6].map(|i| input(node, i));
                    let quant = |scale: Option<&str>, zero| self.tensor_quant(scale?, input(node, zero));
                    return Some(Product {
                        node,
                        input: self.root(a),
                        rounding: quant(a_scale, 2).map_or(Rounding::Other, Rounding::Fixed),
                        output_rounding: quant(out_scale, 7),
                        weights: Weights::Linear { weight: is_weight(weight)?, scale: scale?, zero: input(node, 5) },
                        biases,
                    });
                }
                "Mul" => {
                    let sums = self.sums(value)?;
                    let weight = is_weight(input(sums.node, 1))?;
                    let (root, rounding) = self.read(input(sums.node, 0)?);
                    let node = sums.node;
                    let weights = Weights::Integer { weight, zero: input(node, 3), sums };
                    return Some(Product { node, input: root, rounding, output_rounding: None, weights, biases });
                }
                _ => match self.pass(value)? {
                    (before, Pass::Same | Pass::Reshape(_) | Pass::Quantise(_)) => value = before,
                    _ => return None,
                },
            }
        }
    }

    /// What a product reads: the value before rounding, and the rounding.
    fn read<'g>(&'g self, value: &'g str) -> (&'g str, Rounding) {
        let (root, node) = self.root_and_rounding(value);
        let rounding = match node {
            None => Rounding::None,
            Some(node) if node.op_type == "DynamicQuantizeLinear" => Rounding::Dynamic,
            Some(node) => self.rounding(node).map_or(Rounding::Other, Rounding::Fixed),
        };
        (root, rounding)
    }

    /// The integer product that a value is, times factors.
    pub(super) fn sums<'g>(&'g self, value: &'g str) -> Option<Sums<'g>> {
        self.sums_at(value, 0)
    }

    fn sums_at<'g>(&'g self, value: &'g str, depth: usize) -> Option<Sums<'g>> {
        let node = self.maker(value).filter(|_| depth <= MAX_FACTORS)?;
        let product = |value| self.maker(value).filter(|node: &&NodeProto| node.op_type == "MatMulInteger");
        match &*node.op_type {
            "Cast" => {
                let before = input(node, 0)?;
                if let Some(node) = product(before) {
                    return Some(Sums { node, factors: vec![], bias: None });
                }
                let add = self.maker(before).filter(|node| node.op_type == "Add")?;
                let (a, b) = (input(add, 0)?, input(add, 1)?);
                let (sums, bias) = if self.is_constant(a) { (b, a) } else { (a, b) };
                let node = product(sums).filter(|_| self.is_constant(bias))?;
                Some(Sums { node, factors: vec![], bias: Some(bias) })
            }
            "Mul" => {
                let (a, b) = (input(node, 0)?, input(node, 1)?);
                [(a, b), (b, a)].into_iter().find_map(|(sums, factor)| {
                    // Two scales one after the other; what is read again is a layer's output, and the factor part of a function.
                    let nested = self.maker(sums).is_some_and(|node| node.op_type == "Mul") && self.reads(sums) > 1;
                    if nested || !self.is_factor(factor, depth) {
                        return None;
                    }
                    let mut sums = self.sums_at(sums, depth + 1)?;
                    sums.factors.push(factor);
                    Some(sums)
                })
            }
            "Identity" | "Reshape" => self.sums_at(input(node, 0)?, depth + 1),
            _ => None,
        }
    }

    fn is_factor(&self, value: &str, depth: usize) -> bool {
        self.is_constant(value)
            || self.maker(value).filter(|_| depth <= MAX_FACTORS).is_some_and(|node| match &*node.op_type {
                "DynamicQuantizeLinear" => node.output.get(1).is_some_and(|scale| scale == value),
                "Mul" => node.input.iter().all(|factor| self.is_factor(factor, depth + 1)),
                _ => false,
            })
    }

    /// The constant ones of the factors of an integer product. The scales of dynamically rounded operands are no part of them.
    pub(super) fn factors<'g>(&'g self, sums: &Sums<'g>) -> Result<Vec<&'g str>> {
        let mut constants = Vec::new();
        let mut open: Vec<(&str, usize)> = sums.factors.iter().map(|factor| (*factor, 0)).collect();
        while let Some((factor, depth)) = open.pop() {
            let dynamic = |node: &&NodeProto| {
                node.op_type == "DynamicQuantizeLinear" && node.output.get(1).is_some_and(|scale| scale == factor)
            };
            match self.maker(factor) {
                _ if self.is_constant(factor) => constants.push(factor),
                Some(node) if dynamic(&node) => {}
                Some(node) if node.op_type == "Mul" && depth < MAX_FACTORS => {
                    open.extend(node.input.iter().map(|factor| (factor.as_str(), depth + 1)));
                }
                _ => return Err(self.stop(factor, "a constant scale, or that of a DynamicQuantizeLinear").into()),
            }
        }
        Ok(constants)
    }

    /// Reads a linear layer of a known size. `what` names it in errors.
    pub(super) fn load(&self, product: &Product<'_>, what: &str, (m, k): (usize, usize)) -> Result<Loaded> {
        let (weight, by_output, extra) = match &product.weights {
            Weights::Float { weight, by_output } => (self.fold(weight)?, *by_output, None),
            Weights::Linear { weight, scale, zero } => {
                (self.dequantized(product, weight, &self.fold(scale)?.tensor, *zero)?, false, None)
            }
            Weights::Integer { weight, zero, sums } => {
                let scale = self.weight_scale(product, sums)?;
                (self.dequantized(product, weight, &scale, *zero)?, false, Some(sums))
            }
        };
        let [rows, cols] = weight.tensor.dims[..] else {
            let found = format!("weights of {} dimensions", weight.tensor.dims.len());
            return Err(self.stop_with(output(product.node), found, format!("a matrix, for {what}")).into());
        };
        let (outputs, inputs) = if by_output { (rows, cols) } else { (cols, rows) };
        if (outputs, inputs) != (m, k) {
            let at = format!("{what}, node {}", named(product.node));
            return Err(self.differs(at, format!("{outputs} outputs x {inputs} inputs"), format!("{m} x {k}")).into());
        }
        let values = self.finite(&weight.tensor, output(product.node), what)?;
        let data = if by_output { values.to_vec() } else { transposed(k, m, values) };
        let codes = weight.quantised.as_deref().and_then(|q| codes_of(q, by_output, (m, k)));
        let inexact = weight.quantised.is_some() && codes.is_none();
        let mut bias = vec![0.0f32; m];
        for name in &product.biases {
            let added = self.fold(name)?;
            self.add(&mut bias, &added.tensor, name, what)?;
        }
        if let Some((sums, bias_name)) = extra.and_then(|sums| Some((sums, sums.bias?))) {
            let steps = self.fold(bias_name)?;
            let scale = self.sum_scale(product, sums)?;
            let whole = steps.tensor.data.wholes().unwrap_or_default();
            let scaled = whole.iter().enumerate().map(|(i, &step)| {
                step as f32 * scale.get(if scale.len() == 1 { 0 } else { i }).copied().unwrap_or(f32::NAN)
            });
            let scaled = Tensor::of(vec![whole.len()], Data::Float(scaled.collect()));
            self.add(&mut bias, &scaled, bias_name, what)?;
        }
        Ok(Loaded { linear: Linear { weight: Matrix { rows: m, cols: k, data }, bias }, codes, inexact })
    }

    /// How many outputs a linear layer has.
    pub(super) fn rows(&self, product: &Product<'_>) -> Result<usize> {
        let (weight, axis) = match &product.weights {
            Weights::Float { weight, by_output } => (weight, usize::from(!by_output)),
            Weights::Linear { weight, .. } | Weights::Integer { weight, .. } => (weight, 1),
        };
        let rows = self.fold(weight)?.tensor.dims.get(axis).copied().filter(|&rows| rows > 0);
        rows.ok_or_else(|| self.stop_with(output(product.node), "no matrix", "one with a row per label").into())
    }

    fn add(&self, bias: &mut [f32], added: &Tensor, name: &str, what: &str) -> Result<()> {
        let values = self.finite(added, name, what)?;
        match values {
            [one] => bias.iter_mut().for_each(|bias| *bias += one),
            values if values.len() == bias.len() => bias.iter_mut().zip(values).for_each(|(bias, x)| *bias += x),
            values => {
                let what = format!("the bias of {what}, {}", self.describe(name));
                return Err(self.differs(what, values.len(), bias.len()).into());
            }
        }
        Ok(())
    }

    /// The elements of a constant of floats, all finite.
    pub(super) fn finite<'t>(&self, tensor: &'t Tensor, name: &str, what: &str) -> Result<&'t [f32]> {
        let values = tensor.floats().ok_or_else(|| self.stop_with(name, "integers", format!("floats, for {what}")))?;
        let count = values.iter().filter(|x| !x.is_finite()).count();
        if count > 0 {
            let first_index = values.iter().position(|x| !x.is_finite()).unwrap_or(0);
            let (path, tensor) = (self.file.path.clone(), self.describe(name));
            return Err(Error::Weights(WeightError::NonFiniteWeights { path, tensor, count, first_index }));
        }
        Ok(values)
    }

    fn dequantized(&self, product: &Product<'_>, weight: &str, scale: &Tensor, zero: Option<&str>) -> Result<Constant> {
        let codes = self.fold(weight)?;
        let zero = zero.map(|zero| self.fold(zero)).transpose()?.map(|zero| zero.tensor);
        // A scale per output; one zero point may serve them all.
        let (scale, zero) = alike(scale, zero.as_deref());
        dequantize(&codes.tensor, &scale, zero.as_ref(), 1)
            .map_err(|found| self.stop_with(output(product.node), found, "codes with a scale and a zero point").into())
    }

    /// The scale of the sums: of the weights times that of the input, if it is not found when the graph runs.
    fn sum_scale(&self, product: &Product<'_>, sums: &Sums<'_>) -> Result<Vec<f32>> {
        let mut scale = vec![1.0f32];
        for name in self.factors(sums)? {
            let factor = self.fold(name)?;
            let values = self.finite(&factor.tensor, name, "a scale")?;
            scale = match (scale.len(), values.len()) {
                (_, 1) => scale.iter().map(|s| s * values[0]).collect(),
                (1, _) => values.iter().map(|v| v * scale[0]).collect(),
                (a, b) if a == b => scale.iter().zip(values).map(|(s, v)| s * v).collect(),
                (a, b) => {
                    let found = format!("scales of {a} and of {b} outputs");
                    return Err(self.stop_with(output(product.node), found, "one, or one per output").into());
                }
            };
        }
        Ok(scale)
    }

    fn weight_scale(&self, product: &Product<'_>, sums: &Sums<'_>) -> Result<Tensor> {
        let scale = self.sum_scale(product, sums)?;
        let step = match product.rounding {
            Rounding::Dynamic => 1.0,
            Rounding::Fixed(quant) => {
                self.same_zero(product, sums, quant)?;
                quant.scale
            }
            Rounding::None | Rounding::Other => {
                let expected = "an input behind QuantizeLinear with one scale, or DynamicQuantizeLinear";
                return Err(self.stop_with(output(product.node), "an input that is not", expected).into());
            }
        };
        let scale: Vec<f32> = scale.iter().map(|s| s / step).collect();
        Ok(Tensor::of(vec![scale.len()], Data::Float(scale)))
    }

    /// A static product subtracts the zero point that its input was rounded with.
    fn same_zero(&self, product: &Product<'_>, sums: &Sums<'_>, quant: TensorQuant) -> Result<(), OnnxError> {
        let Some(zero) = input(sums.node, 2) else { return Ok(()) };
        let found = self.fold(zero).ok().map(|zero| zero.tensor.data.clone());
        let found = match found {
            Some(Data::Unsigned(zero)) => zero.first().copied(),
            Some(Data::Signed(zero)) => zero.first().map(|zero| zero.cast_unsigned() ^ 0x80),
            _ => None,
        };
        match found == Some(quant.zero_point) {
            true => Ok(()),
            false => Err(self.stop_with(
                output(product.node),
                format!("the zero point {found:?} of the input"),
                format!("{}, with which it was rounded", quant.zero_point),
            )),
        }
    }
}

/// One zero point for many scales, or one scale for many zero points, written out.
fn alike(scale: &Tensor, zero: Option<&Tensor>) -> (Tensor, Option<Tensor>) {
    let scales = scale.floats().unwrap_or_default();
    let flat = |values: Vec<f32>| Tensor::of(vec![values.len()], Data::Float(values));
    let Some(zero) = zero else { return (flat(scales.to_vec()), None) };
    let spread = |n: usize| match &zero.data {
        Data::Signed(values) if values.len() == 1 => Tensor::of(vec![n], Data::Signed(vec![values[0]; n])),
        Data::Unsigned(values) if values.len() == 1 => Tensor::of(vec![n], Data::Unsigned(vec![values[0]; n])),
        _ => zero.clone(),
    };
    match (scales.len(), zero.data.len()) {
        (1, n) => (flat(vec![scales[0]; n.max(1)]), Some(zero.clone())),
        (n, 1) => (flat(scales.to_vec()), Some(spread(n))),
        _ => (flat(scales.to_vec()), Some(zero.clone())),
    }
}

/// Codes as `[M][K]` with a scale per output; none if they are no s8, or have a scale per input.
fn codes_of(quantised: &Quantised, by_output: bool, (m, k): (usize, usize)) -> Option<LinearCodes> {
    let codes = quantised.codes.as_ref()?;
    let per_output = quantised.axis.is_none_or(|axis| axis == usize::from(!by_output));
    if codes.len() != m * k || !per_output {
        return None;
    }
    let scale = match quantised.scale[..] {
        [one] => vec![one; m],
        ref scale if scale.len() == m => scale.to_vec(),
        _ => return None,
    };
    let codes = if by_output { codes.clone() } else { transposed(k, m, codes) };
    Some(LinearCodes { codes, scale })
}
