//! Shapes that a graph computes: what is known of them before it runs.

use super::chain::MAX_DEPTH;
use super::graph::Graph;
use super::node::{attribute, input, whole};
use crate::proto::NodeProto;

/// Most entries of a shape.
const MAX_RANK: usize = 8;

/// An entry of a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent<'g> {
    /// A number; -1 and 0 as Reshape reads them.
    Known(i64),
    /// The size of a value along an axis.
    Of(&'g str, usize),
    /// Found when the graph runs.
    Unknown,
}

impl Graph {
    /// What is known of a shape: positive sizes.
    pub(super) fn partial_shape(&self, value: &str) -> Option<Vec<Option<i64>>> {
        let known = |extent| match extent {
            Extent::Known(size) if size > 0 => Some(size),
            _ => None,
        };
        Some(self.extents(value)?.into_iter().map(known).collect())
    }

    /// The entries of a shape, as many as it has.
    pub(super) fn extents<'g>(&'g self, value: &'g str) -> Option<Vec<Extent<'g>>> {
        self.extents_at(value, 0)
    }

    fn extents_at<'g>(&'g self, value: &'g str, depth: usize) -> Option<Vec<Extent<'g>>> {
        if depth > MAX_DEPTH {
            return None;
        }
        if self.is_constant(value) {
            let wholes = self.wholes(value).filter(|wholes| wholes.len() <= MAX_RANK)?;
            return Some(wholes.into_iter().map(Extent::Known).collect());
        }
        let node = self.maker(value)?;
        let before = || self.extents_at(input(node, 0)?, depth + 1);
        match &*node.op_type {
            "Concat" if node.input.len() <= MAX_RANK => {
                let part = |part| self.extents_at(part, depth + 1).unwrap_or_else(|| vec![Extent::Unknown]);
                let extents: Vec<Extent<'g>> = node.input.iter().flat_map(|name| part(name)).collect();
                (extents.len() <= MAX_RANK).then_some(extents)
            }
            "Cast" | "Identity" | "Unsqueeze" | "Squeeze" => before(),
            "Shape" => self.shape(node, depth),
            "Slice" => {
                let from_setting = |name| attribute(node, name).and_then(|bounds| bounds.ints.first().copied());
                let bound = |i, name| match input(node, i) {
                    Some(value) => self.wholes(value).and_then(|bounds| bounds.first().copied()),
                    None => from_setting(name),
                };
                self.part(input(node, 0)?, bound(1, "starts")?, bound(2, "ends")?, depth)
            }
            "Gather" => {
                let entry = |at: i64| {
                    let end = if at == -1 { i64::MAX } else { at.saturating_add(1) };
                    self.part(input(node, 0)?, at, end, depth)
                };
                let places = self.wholes(input(node, 1)?).filter(|places| places.len() <= MAX_RANK)?;
                Some(places.into_iter().map(entry).collect::<Option<Vec<_>>>()?.concat())
            }
            _ => None,
        }
    }

    /// The entries of a whole Shape.
    fn shape<'g>(&'g self, node: &'g NodeProto, depth: usize) -> Option<Vec<Extent<'g>>> {
        let of = input(node, 0)?;
        let (from, to) = (whole(node, "start").unwrap_or(0), whole(node, "end").unwrap_or(i64::MAX));
        self.sizes(of, from, to, depth)
    }

    /// Some entries of a shape.
    fn part<'g>(&'g self, shape: &'g str, from: i64, to: i64, depth: usize) -> Option<Vec<Extent<'g>>> {
        let node = self.maker(shape).filter(|_| !self.is_constant(shape));
        if let Some(node) = node.filter(|node| node.op_type == "Shape" && whole(node, "start").unwrap_or(0) == 0)
            && attribute(node, "end").is_none()
        {
            return self.sizes(input(node, 0)?, from, to, depth);
        }
        let all = self.extents_at(shape, depth + 1)?;
        let (from, to) = range(from, to, all.len())?;
        all.get(from..to).map(<[Extent<'g>]>::to_vec)
    }

    /// The sizes of a value from one axis to another.
    fn sizes<'g>(&'g self, of: &'g str, from: i64, to: i64, depth: usize) -> Option<Vec<Extent<'g>>> {
        if let Some(rank) = self.rank(of, depth + 1) {
            let (from, to) = range(from, to, rank)?;
            return Some((from..to).map(|axis| Extent::Of(of, axis)).collect());
        }
        // The rank is not known.
        match (from, to) {
            (0.., 0..) if to <= from.saturating_add(MAX_RANK as i64) => {
                let (from, to) = (usize::try_from(from).ok()?, usize::try_from(to).ok()?);
                Some((from..to).map(|axis| Extent::Of(of, axis)).collect())
            }
            (0, -1) => Some(vec![Extent::Unknown; 2]), // all but the features
            (..0, _) => {
                let end = if to >= 0 { 0 } else { to };
                let count = usize::try_from(end.checked_sub(from)?).ok().filter(|&count| count <= MAX_RANK)?;
                Some(vec![Extent::Unknown; count])
            }
            _ => None,
        }
    }

    /// A size of a value as that of the value before transpositions and roundings.
    pub(super) fn size_before<'g>(&'g self, of: &'g str, axis: usize) -> (&'g str, usize) {
        let (mut of, mut axis) = (self.same(of), axis);
        while let Some(node) = self.maker(of).filter(|node| node.op_type == "Transpose") {
            let from = attribute(node, "perm").and_then(|perm| usize::try_from(*perm.ints.get(axis)?).ok());
            let Some((before, from)) = input(node, 0).zip(from) else { break };
            (of, axis) = (self.same(before), from);
        }
        (of, axis)
    }

    /// How many dimensions a value has, where its own node or a reshape says it.
    pub(super) fn rank(&self, value: &str, depth: usize) -> Option<usize> {
        if self.is_input(value) {
            return Some(2); // tokens: batch and sequence
        }
        let node = self.maker(value).filter(|_| depth <= MAX_DEPTH)?;
        match &*node.op_type {
            "Transpose" => Some(attribute(node, "perm")?.ints.len()),
            "Reshape" => Some(self.extents_at(input(node, 1)?, depth + 1)?.len()),
            "Cast" | "Identity" | "CastLike" => self.rank(input(node, 0)?, depth + 1),
            _ => None,
        }
    }

    /// The size of the last dimension of a hidden state.
    pub(super) fn features(&self, value: &str, depth: usize) -> Option<i64> {
        let node = self.maker(value).filter(|_| depth <= MAX_DEPTH)?;
        let before = |i| self.features(input(node, i)?, depth + 1);
        let last = |i| {
            let dims = self.constant_dims(input(node, i)?, depth + 1)?;
            dims.last().copied()
        };
        match &*node.op_type {
            "Reshape" => {
                let extents = self.extents_at(input(node, 1)?, depth + 1)?;
                match extents[..] {
                    [.., Extent::Known(size)] if size > 0 => Some(size),
                    // What heads leave of the features.
                    [_, _, Extent::Known(heads), Extent::Known(-1)] if heads > 0 => {
                        before(0).filter(|features| features % heads == 0).map(|features| features / heads)
                    }
                    _ => None,
                }
            }
            "Transpose" => {
                let order = &attribute(node, "perm")?.ints;
                let is_last = order.last().is_some_and(|&last| last == order.len() as i64 - 1);
                is_last.then(|| before(0))?
            }
            "Identity" | "Cast" | "CastLike" | "Dropout" | "QuantizeLinear" | "DequantizeLinear" => before(0),
            "MatMul" => last(1),
            "Gemm" if whole(node, "transB").unwrap_or(0) == 0 => last(1),
            "Gemm" => self.constant_dims(input(node, 1)?, depth + 1)?.first().copied(),
            "LayerNormalization" => last(1),
            "Add" => match self.is_constant(input(node, 0)?) {
                true => before(1),
                false => before(0),
            },
            _ => None,
        }
    }

    /// The shape of a constant, as its file or the nodes before it say.
    pub(super) fn constant_dims(&self, value: &str, depth: usize) -> Option<Vec<i64>> {
        if let Some(tensor) = self.initializer(value) {
            return (tensor.dims.len() <= MAX_RANK).then(|| tensor.dims.clone());
        }
        let node = self.maker(value).filter(|_| self.is_constant(value) && depth <= MAX_DEPTH)?;
        let before = || self.constant_dims(input(node, 0)?, depth + 1);
        match &*node.op_type {
            "Constant" => {
                let tensor = attribute(node, "value")?.t.as_ref()?;
                (tensor.dims.len() <= MAX_RANK).then(|| tensor.dims.clone())
            }
            "Identity" | "Cast" | "DequantizeLinear" | "QuantizeLinear" => before(),
            "Transpose" => {
                let dims = before()?;
                match attribute(node, "perm") {
                    None => Some(dims.into_iter().rev().collect()),
                    Some(perm) => {
                        perm.ints.iter().map(|&axis| dims.get(usize::try_from(axis).ok()?).copied()).collect()
                    }
                }
            }
            _ => None,
        }
    }
}

/// The bounds of a slice of so many entries, as Slice reads them.
fn range(from: i64, to: i64, count: usize) -> Option<(usize, usize)> {
    let count = i64::try_from(count).ok()?;
    let bound = |at: i64| usize::try_from(if at < 0 { (at + count).max(0) } else { at.min(count) }).ok();
    let (from, to) = (bound(from)?, bound(to)?);
    (from <= to).then_some((from, to))
}
