//! What is known of constants while operators are replaced, and the operator of our own for parts of them.

use std::collections::{HashMap, HashSet};

use crate::proto::GraphProto;

/// The operator set of nodes that only this module makes.
pub(in crate::onnx) const INTERNAL: &str = "lacuna";
/// Scores behind a mask of a fused operator: floats are added; integers and bool are 0 where a key is hidden, or count the keys.
pub(in crate::onnx) const MASKED: &str = "Masked";
/// Columns `start` to `end` of a constant matrix or vector.
pub(in crate::onnx) const COLUMNS: &str = "Columns";

/// What the nodes of a graph are asked about while they are replaced.
pub(in crate::onnx) struct Constants<'a> {
    /// Shapes of initialisers, and of what differs from them in type only.
    pub(super) dims: HashMap<&'a str, &'a [i64]>,
    /// Every value that is made of constants alone.
    pub(super) names: HashSet<&'a str>,
}

impl<'a> Constants<'a> {
    pub(super) fn of(graph: &'a GraphProto) -> Constants<'a> {
        let mut dims: HashMap<&str, &[i64]> =
            graph.initializer.iter().map(|tensor| (&*tensor.name, &*tensor.dims)).collect();
        let mut names: HashSet<&str> = dims.keys().copied().collect();
        for node in &graph.node {
            let present = node.input.iter().filter(|name| !name.is_empty());
            let is_constant = match node.op_type == "Constant" {
                true => true,
                false => !node.input.is_empty() && present.clone().all(|name| names.contains(&**name)),
            };
            let keeps_shape = matches!(&*node.op_type, "DequantizeLinear" | "QuantizeLinear" | "Cast" | "Identity");
            let shape = node.input.first().filter(|_| keeps_shape).and_then(|name| dims.get(&**name)).copied();
            if let Some((name, shape)) = node.output.first().zip(shape) {
                dims.insert(name, shape);
            }
            if is_constant {
                names.extend(node.output.iter().map(String::as_str));
            }
        }
        Constants { dims, names }
    }
}
