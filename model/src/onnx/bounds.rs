//! Bounds against hostile graphs: on the parts of a node, and on the steps of all walks together.
//!
//! A walk follows a graph from a value to the node that makes it. A file of a kilobyte can describe a graph with more paths than any
//! computer can walk. All walks share one budget, which grows linearly with the graph. Every look at a node takes one step of it.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::file::GraphFile;
use super::node::{is_own, named};
use crate::error::OnnxError;
use crate::proto::{GraphProto, NodeProto};

/// Most inputs or outputs of a node: Concat and Split may have many.
const MAX_VALUES: usize = 1024;
/// Most settings of a node.
const MAX_ATTRIBUTES: usize = 64;
/// Steps for every node and every input of a node. Encoders of all exporters take less than 8.
const STEPS_PER_PART: usize = 32;
/// Steps that are always there, for small graphs.
const FREE_STEPS: usize = 1 << 16;

/// How many steps the walks over a graph may take together.
#[derive(Debug)]
pub(super) struct Steps {
    taken: AtomicUsize,
    limit: usize,
}

impl Steps {
    /// The budget of a graph.
    pub(super) fn of(graph: &GraphProto) -> Steps {
        let parts: usize = graph.node.iter().map(|node| 1 + node.input.len()).sum();
        Steps { taken: AtomicUsize::new(0), limit: parts.saturating_mul(STEPS_PER_PART).saturating_add(FREE_STEPS) }
    }

    /// Takes a step; false if none is left.
    pub(super) fn take(&self) -> bool {
        self.taken.load(Relaxed) < self.limit && self.taken.fetch_add(1, Relaxed) < self.limit
    }

    /// Steps taken so far.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// What a walk found, or that the budget is spent: then the walk stopped early, and what it found says nothing.
    pub(super) fn bounded<T>(&self, file: &GraphFile, found: crate::error::Result<T>) -> crate::error::Result<T> {
        match self.taken() >= self.limit {
            false => found,
            true => {
                let (path, what) = (file.path.clone(), "steps to follow its nodes");
                Err(OnnxError::Limit { path, what, limit: self.limit }.into())
            }
        }
    }
}

/// Checks that no node has more parts than its operator can have.
pub(super) fn check_nodes(file: &GraphFile, nodes: &[NodeProto]) -> Result<(), OnnxError> {
    for node in nodes {
        for (what, found, limit) in [
            ("inputs", node.input.len(), most_inputs(node)),
            ("outputs", node.output.len(), MAX_VALUES),
            ("settings", node.attribute.len(), MAX_ATTRIBUTES),
        ] {
            if found > limit {
                return Err(OnnxError::Structure {
                    path: file.path.clone(),
                    node: named(node),
                    found: format!("{found} {what}"),
                    expected: format!("at most {limit}"),
                });
            }
        }
    }
    Ok(())
}

/// Most inputs of a node, by its operator.
fn most_inputs(node: &NodeProto) -> usize {
    if !is_own(&node.domain) {
        return MAX_VALUES;
    }
    match &*node.op_type {
        "Identity"
        | "Cast"
        | "Erf"
        | "Tanh"
        | "Sqrt"
        | "Exp"
        | "Neg"
        | "Sigmoid"
        | "Relu"
        | "Gelu"
        | "Reciprocal"
        | "Transpose"
        | "Softmax"
        | "Shape"
        | "Flatten"
        | "DynamicQuantizeLinear" => 1,
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "MatMul" | "Reshape" | "Gather" | "CastLike" => 2,
        "Gemm" | "LayerNormalization" | "QuantizeLinear" | "DequantizeLinear" | "Where" => 3,
        "MatMulInteger" => 4,
        "Slice" => 5,
        "QLinearMatMul" => 8,
        _ => MAX_VALUES,
    }
}
