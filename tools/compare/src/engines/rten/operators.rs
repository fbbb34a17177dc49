//! What kind of products an ONNX file is made of: rten does not tell what it runs, but has one kernel for each.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use rten_onnx::onnx::{ModelProto, NodeProto};

use super::failure::failed;
use crate::error::EngineError;

/// Products of integers. rten has no other, and makes none of products in f32.
const INTEGER: &str = "MatMulInteger";

/// Products in f32.
const FLOAT: [&str; 3] = ["FusedMatMul", "Gemm", "MatMul"];

/// The nodes of a file that multiply matrices, by kind.
pub(super) struct Operators(BTreeMap<String, usize>);

impl Operators {
    /// Reads the graph of an ONNX file.
    pub(super) fn read(path: &Path) -> Result<Operators, EngineError> {
        let call = || format!("reading {}", path.display());
        let file = File::open(path).map_err(|error| failed(&call(), error))?;
        let model = ModelProto::parse_file(file).map_err(|error| failed(&call(), error))?;
        Ok(Operators::of(model.graph.as_ref().map_or(&[], |graph| &graph.node)))
    }

    fn of(nodes: &[NodeProto]) -> Operators {
        let mut counts = BTreeMap::new();
        for kind in nodes.iter().filter_map(|node| node.op_type.as_deref()) {
            if kind == INTEGER || FLOAT.contains(&kind) {
                *counts.entry(kind.to_owned()).or_default() += 1;
            }
        }
        Operators(counts)
    }

    /// How many products are of integers.
    pub(super) fn integer(&self) -> usize {
        self.0.get(INTEGER).copied().unwrap_or(0)
    }

    /// `12 MatMul, 36 MatMulInteger`
    pub(super) fn describe(&self) -> String {
        let counts: Vec<String> = self.0.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        counts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_counted_by_kind() {
        let nodes = ["MatMulInteger", "Add", "MatMul", "MatMulInteger"]
            .map(|kind| NodeProto { op_type: Some(kind.to_owned()), ..NodeProto::default() });
        let operators = Operators::of(&nodes);
        assert_eq!((operators.integer(), operators.describe().as_str()), (2, "1 MatMul, 2 MatMulInteger"));
        assert_eq!(Operators::of(&nodes[1..3]).integer(), 0);
    }
}
