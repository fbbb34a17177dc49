//! What kind of products an ONNX file is made of, and what became of them when it was loaded.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use rten_onnx::onnx::{ModelProto, NodeProto};

use super::failed;
use crate::compare::error::EngineError;

/// The nodes of a file that multiply matrices.
pub(super) struct Operators {
    /// Names of the integer products.
    integer: Vec<String>,
    /// How many f32 products there are of each kind.
    float: BTreeMap<String, usize>,
}

impl Operators {
    /// Reads the graph of an ONNX file.
    pub(super) fn read(path: &Path) -> Result<Operators, EngineError> {
        let call = || format!("reading {}", path.display());
        let file = File::open(path).map_err(|error| failed(&call(), error))?;
        let model = ModelProto::parse_file(file).map_err(|error| failed(&call(), error))?;
        Ok(Operators::of(model.graph.as_ref().map_or(&[], |graph| &graph.node)))
    }

    fn of(nodes: &[NodeProto]) -> Operators {
        let mut operators = Operators { integer: Vec::new(), float: BTreeMap::new() };
        for node in nodes {
            match node.op_type.as_deref().unwrap_or_default() {
                "MatMulInteger" => operators.integer.push(node.name.clone().unwrap_or_default()),
                kind @ ("MatMul" | "Gemm" | "FusedMatMul") => *operators.float.entry(kind.to_owned()).or_default() += 1,
                _ => {}
            }
        }
        operators
    }

    /// How many products are of integers. rten has no other way to compute these, and makes none of others.
    pub(super) fn integer(&self) -> usize {
        self.integer.len()
    }

    /// `36 MatMulInteger, 36 of them fused with their scales, 12 MatMul`: a fused product is no node of the graph that was loaded.
    pub(super) fn describe(&self, is_node: impl Fn(&str) -> bool) -> String {
        let mut parts = Vec::new();
        if self.integer() > 0 {
            let fused = self.integer.iter().filter(|name| !name.is_empty() && !is_node(name)).count();
            let fused = if fused > 0 { format!(", {fused} of them fused with their scales") } else { String::new() };
            parts.push(format!("{} MatMulInteger{fused}", self.integer()));
        }
        parts.extend(self.float.iter().map(|(kind, count)| format!("{count} {kind}")));
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(kind: &str, name: &str) -> NodeProto {
        NodeProto { op_type: Some(kind.to_owned()), name: Some(name.to_owned()), ..NodeProto::default() }
    }

    #[test]
    fn products_are_counted_by_kind() {
        let nodes = [
            node("MatMulInteger", "a"),
            node("MatMulInteger", "b"),
            node("MatMulInteger", ""),
            node("MatMul", "c"),
            node("Add", "d"),
        ];
        let operators = Operators::of(&nodes);
        assert_eq!(operators.integer(), 3);
        assert_eq!(
            operators.describe(|name| name == "b"),
            "3 MatMulInteger, 1 of them fused with their scales, 1 MatMul"
        );
        assert_eq!(Operators::of(&nodes[3..]).describe(|_| true), "1 MatMul");
    }
}
