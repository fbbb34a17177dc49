//! Attention: from what `o` reads back to q, k and v.

use super::chain::Pass;
use super::expand::MASKED;
use super::graph::Graph;
use super::node::{attribute, input, named, output, whole};
use super::product::{Product, Rounding};
use super::shape::Extent;
use crate::codes::TensorQuant;
use crate::config::EncoderConfig;
use crate::error::OnnxError;
use crate::error::Result;
use crate::proto::NodeProto;

/// Largest relative difference between the factor of the scores and `1 / sqrt(head size)`: constants may be f16.
const TOLERANCE: f32 = 2e-3;
/// A bound below which no score lies.
const LEAST_SCORE: f32 = -1e4;
/// Queries and values, and how heads go back: `[batch, sequence, heads, size]` and `[batch, heads, sequence, size]`.
const HEADS_FIRST: [i64; 4] = [0, 2, 1, 3];
/// Keys: `[batch, heads, size, sequence]`.
const KEYS: [i64; 4] = [0, 2, 3, 1];

/// Attention as nodes.
pub(super) struct Attention<'g> {
    /// q, k, v.
    pub(super) linears: [Product<'g>; 3],
    /// How their outputs were rounded before they were multiplied, in their own units.
    pub(super) roundings: [Option<TensorQuant>; 3],
    /// Masks of the scores.
    pub(super) masks: Vec<Mask<'g>>,
    /// The values' rounding was not in a form of its own, where there was one.
    pub(super) rounded: bool,
}

/// A mask of attention scores.
#[derive(Clone, Copy)]
pub(super) struct Mask<'g> {
    /// What is added, or takes the place of scores.
    pub(super) value: &'g str,
    /// Where it does, and whether scores stay where this is 0.
    pub(super) condition: Option<(&'g str, bool)>,
    /// Of a fused operator: integers say which keys there are.
    pub(super) fused: bool,
}

/// A product of two hidden states.
struct Pair<'g> {
    node: &'g NodeProto,
    a: &'g str,
    b: &'g str,
    /// Roundings that the operator itself names.
    roundings: [Option<TensorQuant>; 2],
    /// Factor in addition to the scales of the operands.
    scale: f32,
}

/// An operand of such a product.
struct Operand<'g> {
    product: Product<'g>,
    /// The operand is the output of the linear layer times this.
    scale: f32,
    rounding: Option<TensorQuant>,
    rounded: bool,
    order: [i64; 4],
}

impl Graph {
    /// The attention that makes a value, which `o` reads.
    pub(super) fn attention<'g>(&'g self, value: &'g str, config: &EncoderConfig) -> Result<Attention<'g>> {
        let context = self.pair_before(value, "attention weights times values, behind a change of shape")?;
        let weights = self.softmax(context.a)?;
        let v = self.operand(context.b, context.roundings[1], config)?;
        self.check_order(&v, HEADS_FIRST, "values")?;
        let (scores, mask_scale, masks) = self.scores(weights)?;
        let q = self.operand(scores.a, scores.roundings[0], config)?;
        let k = self.operand(scores.b, scores.roundings[1], config)?;
        self.check_order(&q, HEADS_FIRST, "queries")?;
        self.check_order(&k, KEYS, "keys")?;
        let found = q.scale * k.scale * scores.scale * mask_scale;
        let expected = (config.head_size() as f32).sqrt().recip();
        let agrees = (found - expected).abs() <= TOLERANCE * expected;
        if !agrees {
            let what = format!("the factor of attention scores, node {}", named(scores.node));
            let config = format!("heads of {} features, which makes {expected}", config.head_size());
            return Err(self.differs(what, found, config).into());
        }
        let plain = ((v.scale * context.scale) - 1.0).abs() <= TOLERANCE;
        if !plain {
            let found = format!("a factor of {} on the values", v.scale * context.scale);
            return Err(self.stop_with(output(context.node), found, "none").into());
        }
        let rounded = [&q, &k, &v].iter().any(|operand| operand.rounded);
        let roundings = [q.rounding, k.rounding, v.rounding];
        Ok(Attention { linears: [q.product, k.product, v.product], roundings, masks, rounded })
    }

    /// The product of two hidden states that a value is, but for shape and rounding.
    fn pair_before<'g>(&'g self, mut value: &'g str, expected: &str) -> Result<Pair<'g>> {
        loop {
            if let Some(pair) = self.pair(value)? {
                return Ok(pair);
            }
            match self.pass(value) {
                Some((before, Pass::Transpose(node))) => {
                    let order = attribute(node, "perm").map(|perm| perm.ints.as_slice());
                    if order != Some(&HEADS_FIRST) {
                        let found = format!("the order {order:?}");
                        return Err(self
                            .stop_with(value, found, format!("{HEADS_FIRST:?}: heads beside each other"))
                            .into());
                    }
                    value = before;
                }
                Some((before, Pass::Same | Pass::Reshape(_) | Pass::Quantise(_))) => value = before,
                _ => return Err(self.stop(value, expected).into()),
            }
        }
    }

    fn pair<'g>(&'g self, value: &'g str) -> Result<Option<Pair<'g>>> {
        let Some(node) = self.maker(value) else { return Ok(None) };
        let tainted = |a: Option<&'g str>, b: Option<&'g str>| {
            let pair = a.zip(b)?;
            (self.is_tainted(pair.0) && self.is_tainted(pair.1)).then_some(pair)
        };
        match &*node.op_type {
            "MatMul" => Ok(tainted(input(node, 0), input(node, 1)).map(|(a, b)| Pair {
                node,
                a,
                b,
                roundings: [None; 2],
                scale: 1.0,
            })),
            "QLinearMatMul" => Ok(tainted(input(node, 0), input(node, 3)).map(|(a, b)| {
                let quant = |scale, zero| self.tensor_quant(input(node, scale)?, input(node, zero));
                Pair { node, a, b, roundings: [quant(1, 2), quant(4, 5)], scale: 1.0 }
            })),
            "Mul" => {
                let Some(sums) = self.sums(value) else { return Ok(None) };
                let Some((a, b)) = tainted(input(sums.node, 0), input(sums.node, 1)) else { return Ok(None) };
                let mut scale = 1.0;
                for factor in self.factors(&sums)? {
                    scale *= self.scalar(factor).ok_or_else(|| self.stop(factor, "one scale"))?;
                }
                // What the operands' own scales are is in the factors already.
                for operand in [a, b] {
                    scale /= self.own_scale(operand)?;
                }
                Ok(Some(Pair { node: sums.node, a, b, roundings: [None; 2], scale }))
            }
            _ => Ok(None),
        }
    }

    /// The scale with which an operand of an integer product was rounded; 1 if it is found when the graph runs.
    fn own_scale(&self, operand: &str) -> Result<f32> {
        let mut value = operand;
        loop {
            let (before, pass) = self.pass(value).ok_or_else(|| self.stop(value, "QuantizeLinear"))?;
            match pass {
                Pass::Quantise(node) if node.op_type == "DynamicQuantizeLinear" => return Ok(1.0),
                Pass::Quantise(node) => {
                    let quant = self.rounding(node).ok_or_else(|| self.stop(value, "one scale and zero point"))?;
                    return Ok(quant.scale);
                }
                Pass::Scale(_) => return Err(self.stop(value, "codes").into()),
                _ => value = before,
            }
        }
    }

    /// The value of which the attention weights are the softmax.
    fn softmax<'g>(&'g self, mut value: &'g str) -> Result<&'g str> {
        loop {
            let node = self.maker(value).filter(|node| node.op_type == "Softmax");
            if let Some(scores) = node.and_then(|node| input(node, 0).filter(|_| self.is_over_keys(node))) {
                return Ok(scores);
            }
            if let Some(scores) = self.softmax_written_out(value) {
                return Ok(scores);
            }
            match self.pass(value) {
                Some((before, Pass::Same | Pass::Reshape(_) | Pass::Quantise(_))) => value = before,
                _ => return Err(self.stop(value, "a softmax over the keys").into()),
            }
        }
    }

    /// `exp(x - max(x)) / sum(exp(x - max(x)))` over the last dimension: the x.
    fn softmax_written_out<'g>(&'g self, value: &'g str) -> Option<&'g str> {
        let is = |value: &'g str, operator: &str| self.maker(self.same(value)).filter(|node| node.op_type == operator);
        let over_last = |node: &'g NodeProto| {
            let axes = match attribute(node, "axes") {
                Some(axes) => Some(axes.ints.clone()),
                None => input(node, 1).and_then(|axes| self.wholes(axes)),
            };
            let fits =
                axes.is_some_and(|axes| matches!(axes[..], [-1 | 3])) && whole(node, "keepdims").unwrap_or(1) == 1;
            input(node, 0).filter(|_| fits).map(|x| self.same(x))
        };
        let quotient = self.maker(value).filter(|node| node.op_type == "Div")?;
        let powers = self.same(input(quotient, 0)?);
        let less = is(input(is(powers, "Exp")?, 0)?, "Sub")?;
        let scores = self.same(input(less, 0)?);
        let most = over_last(is(input(less, 1)?, "ReduceMax")?)?;
        let summed = over_last(is(input(quotient, 1)?, "ReduceSum")?)?;
        (most == scores && summed == powers).then_some(scores)
    }

    fn is_over_keys(&self, softmax: &NodeProto) -> bool {
        match whole(softmax, "axis") {
            None => self.opset >= 13,
            Some(axis) => matches!(axis, -1 | 3),
        }
    }

    /// The product under masks and factors, what the factors are together, and the masks.
    fn scores<'g>(&'g self, mut value: &'g str) -> Result<(Pair<'g>, f32, Vec<Mask<'g>>)> {
        const EXPECTED: &str = "queries times keys, behind a factor and a mask";
        let (mut scale, mut masks) = (1.0, Vec::new());
        loop {
            if let Some(pair) = self.pair(value)? {
                return Ok((pair, scale, masks));
            }
            if let Some((before, pass)) = self.pass(value) {
                match pass {
                    Pass::Scale(factor) => scale *= factor,
                    Pass::Transpose(_) => return Err(self.stop(value, EXPECTED).into()),
                    _ => {}
                }
                value = before;
                continue;
            }
            let node = self.maker(value).ok_or_else(|| self.stop(value, EXPECTED))?;
            // A mask depends on attention_mask, never on what was looked up.
            let masked = |i: usize, j: usize| match (input(node, i), input(node, j)) {
                (Some(a), Some(b)) if self.is_tainted(a) && !self.is_tainted(b) => Some((a, b)),
                (Some(a), Some(b)) if self.is_tainted(b) && !self.is_tainted(a) => Some((b, a)),
                _ => None,
            };
            let before = match &*node.op_type {
                MASKED => masked(0, 1),
                "Add" => masked(0, 1),
                // What keeps scores of hidden keys finite.
                "Max" => masked(0, 1).filter(|(_, bound)| self.scalar(bound).is_some_and(|bound| bound <= LEAST_SCORE)),
                "Sub" => masked(0, 1).filter(|(a, _)| Some(*a) == input(node, 0)),
                "Where" => masked(1, 2).filter(|_| input(node, 0).is_some_and(|condition| !self.is_tainted(condition))),
                _ => None,
            };
            let (before, mask) = before.ok_or_else(|| self.stop(value, EXPECTED))?;
            self.check_mask(mask)?;
            let condition = input(node, 0).filter(|_| node.op_type == "Where");
            if let Some(condition) = condition {
                self.check_mask(condition)?;
            }
            let condition = condition.map(|condition| (condition, Some(before) == input(node, 2)));
            masks.push(Mask { value: mask, condition, fused: node.op_type == MASKED });
            value = before;
        }
    }

    /// The linear layer behind an operand of attention.
    fn operand<'g>(&'g self, start: &'g str, own: Option<TensorQuant>, config: &EncoderConfig) -> Result<Operand<'g>> {
        let (mut value, mut scale, mut order) = (start, 1.0f32, [0, 1, 2, 3]);
        let mut rounding: Option<(TensorQuant, f32)> = own.map(|quant| (quant, 1.0));
        let mut rounded = own.is_some();
        loop {
            if let Some(product) = self.product(value) {
                self.check_heads(value, config)?;
                let last = self.root_and_rounding(value).1;
                if let Some(node) = last.filter(|_| rounding.is_none()) {
                    rounded = true;
                    rounding = self.rounding(node).map(|quant| (quant, scale));
                }
                let rounding = rounding.or(product.output_rounding.map(|quant| (quant, scale)));
                // The rounding sees the output of the layer times what comes before it.
                let rounding = rounding
                    .map(|(quant, after)| TensorQuant { scale: quant.scale * after / scale, ..quant })
                    .filter(|quant| quant.scale.is_normal() && quant.scale > 0.0);
                return Ok(Operand { product, scale, rounding, rounded, order });
            }
            if let Some(before) = self.exchanged(value, config) {
                order = order.map(|axis| match axis {
                    2 => 3,
                    3 => 2,
                    axis => axis,
                });
                value = before;
                continue;
            }
            let expected = "a linear layer behind changes of shape";
            let (before, pass) = self.pass(value).ok_or_else(|| self.stop(value, expected))?;
            match pass {
                Pass::Same => {}
                Pass::Reshape(node) => self.check_shape(node, config)?,
                Pass::Quantise(node) => {
                    if rounding.is_none() {
                        rounding = self.rounding(node).map(|quant| (quant, scale));
                        rounded = true;
                    }
                }
                Pass::Scale(factor) => scale *= factor,
                Pass::Transpose(node) => {
                    let perm = attribute(node, "perm").map(|perm| perm.ints.as_slice()).unwrap_or_default();
                    let at = |axis: i64| usize::try_from(axis).ok().and_then(|axis| perm.get(axis)).copied();
                    let [Some(a), Some(b), Some(c), Some(d)] = order.map(at) else {
                        let found = format!("the order {perm:?}");
                        return Err(self
                            .stop_with(value, found, "four dimensions: batch, sequence, heads, features")
                            .into());
                    };
                    order = [a, b, c, d];
                }
            }
            value = before;
        }
    }

    /// The value of four dimensions whose last two were exchanged through three: reshaped to `[-1, a, b]`, transposed, and reshaped
    /// to `[.., .., b, a]`. torch's dynamo exporter writes it so for keys.
    fn exchanged<'g>(&'g self, value: &'g str, config: &EncoderConfig) -> Option<&'g str> {
        // Quantisers round at every step.
        let is = |value: &'g str, operator: &str| self.maker(self.same(value)).filter(|node| node.op_type == operator);
        let outer = self.maker(value).filter(|node| node.op_type == "Reshape")?;
        let turned = is(input(outer, 0)?, "Transpose")?;
        (attribute(turned, "perm")?.ints[..] == [0, 2, 1]).then_some(())?;
        let inner = is(input(turned, 0)?, "Reshape")?;
        let before = input(inner, 0)?;
        let (flat, whole) = (self.extents(input(inner, 1)?)?, self.extents(input(outer, 1)?)?);
        let (&[_, a, b], &[_, _, last, second]) = (&flat[..], &whole[..]) else { return None };
        let fits = |extent, axis, size: Option<usize>| match extent {
            Extent::Of(of, at) => self.size_before(of, at) == self.size_before(before, axis),
            Extent::Known(known) => known > 0 && size.is_none_or(|size| known == size as i64),
            Extent::Unknown => false,
        };
        let is_same = last == b && second == a;
        (is_same && fits(a, 2, None) && fits(b, 3, Some(config.head_size()))).then_some(before)
    }

    /// The changes of shape directly behind a linear layer, which [`Graph::product`] passes over.
    fn check_heads<'g>(&'g self, mut value: &'g str, config: &EncoderConfig) -> Result<()> {
        while let Some((before, pass)) = self.pass(value) {
            match pass {
                Pass::Reshape(node) => self.check_shape(node, config)?,
                Pass::Same | Pass::Quantise(_) => {}
                _ => break,
            }
            value = before;
        }
        Ok(())
    }

    /// Heads and their size, where a shape says them.
    fn check_shape(&self, node: &NodeProto, config: &EncoderConfig) -> Result<(), OnnxError> {
        let shape = input(node, 1).and_then(|shape| self.partial_shape(shape)).unwrap_or_default();
        let &[_, _, heads, size] = &shape[..] else { return Ok(()) };
        for (what, found, expected) in
            [("heads", heads, config.heads), ("features of a head", size, config.head_size())]
        {
            if let Some(found) = found.filter(|&found| found != expected as i64) {
                return Err(self.differs(format!("{what}, node {}", named(node)), found, expected));
            }
        }
        Ok(())
    }

    fn check_order(&self, operand: &Operand<'_>, expected: [i64; 4], what: &str) -> Result<(), OnnxError> {
        match operand.order == expected {
            true => Ok(()),
            false => {
                let found = format!("{what} in the order {:?}", operand.order);
                Err(self.stop_with(output(operand.product.node), found, format!("{expected:?}")))
            }
        }
    }
}

impl Attention<'_> {
    /// The linear layers' own rounding of their common input; none if it differs.
    pub(super) fn input_rounding(&self) -> Option<Rounding> {
        let [q, k, v] = &self.linears;
        (q.rounding == k.rounding && q.rounding == v.rounding).then_some(q.rounding)
    }
}
