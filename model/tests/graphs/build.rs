//! A graph, node by node.

use std::path::Path;

use prost::Message;

use crate::proto::{
    AttributeProto, DataType, DimensionProto, DimensionValue, FunctionProto, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

/// The operator set of ONNX Runtime's fused operators.
pub(crate) const FUSED: &str = "com.microsoft";

/// A graph in the making.
#[derive(Default)]
pub(crate) struct Build {
    pub(crate) graph: GraphProto,
    pub(crate) functions: Vec<FunctionProto>,
    /// Constants of floats become f16.
    pub(crate) half: bool,
    pub(crate) opset: i64,
    /// Names that were given.
    pub(crate) count: usize,
}

impl Build {
    pub(crate) fn new() -> Build {
        Build { opset: 18, ..Build::default() }
    }

    fn fresh(&mut self) -> String {
        self.count += 1;
        format!("val_{}", self.count)
    }

    /// A node of ONNX's own with one output.
    pub(crate) fn node(&mut self, operator: &str, inputs: &[&str], attributes: &[AttributeProto]) -> String {
        self.node_of("", operator, inputs, attributes)
    }

    /// A node with one output, of any operator set.
    pub(crate) fn node_of(
        &mut self,
        domain: &str,
        operator: &str,
        inputs: &[&str],
        attributes: &[AttributeProto],
    ) -> String {
        let [output] = self.outputs(domain, operator, inputs, attributes);
        output
    }

    /// A node with so many outputs.
    pub(crate) fn outputs<const N: usize>(
        &mut self,
        domain: &str,
        operator: &str,
        inputs: &[&str],
        attributes: &[AttributeProto],
    ) -> [String; N] {
        let base = self.fresh();
        let outputs: [String; N] = std::array::from_fn(|i| if i == 0 { base.clone() } else { format!("{base}.{i}") });
        self.graph.node.push(NodeProto {
            domain: domain.to_owned(),
            attribute: attributes.to_vec(),
            ..named_node(operator, inputs, &outputs.each_ref().map(String::as_str))
        });
        outputs
    }

    /// A constant of floats.
    pub(crate) fn floats(&mut self, dims: &[usize], values: &[f32]) -> String {
        assert_eq!(dims.iter().product::<usize>(), values.len());
        match self.half {
            false => self.raw(dims, DataType::Float, values.iter().flat_map(|x| x.to_le_bytes()).collect()),
            true => {
                let bits = |x: &f32| half::f16::from_f32(*x).to_le_bytes();
                self.raw(dims, DataType::Float16, values.iter().flat_map(bits).collect())
            }
        }
    }

    pub(crate) fn scalar(&mut self, value: f32) -> String {
        self.floats(&[], &[value])
    }

    /// A list of whole numbers.
    pub(crate) fn whole(&mut self, values: &[i64]) -> String {
        self.raw(&[values.len()], DataType::Int64, values.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// A whole number.
    pub(crate) fn index(&mut self, value: i64) -> String {
        self.raw(&[], DataType::Int64, value.to_le_bytes().to_vec())
    }

    /// A constant of any type.
    pub(crate) fn raw(&mut self, dims: &[usize], data_type: DataType, bytes: Vec<u8>) -> String {
        let name = self.fresh();
        self.graph.initializer.push(TensorProto {
            dims: dims.iter().map(|&d| d as i64).collect(),
            data_type: data_type.into(),
            name: name.clone(),
            raw_data: Some(bytes.into()),
            ..TensorProto::default()
        });
        name
    }

    pub(crate) fn input(&mut self, name: &str) {
        self.graph.input.push(value(name, DataType::Int64, &["batch", "sequence"]));
    }

    /// Gives a value a name, and makes it an output.
    pub(crate) fn output(&mut self, of: &str, name: &str, dims: &[&str]) {
        self.graph.node.push(named_node("Identity", &[of], &[name]));
        self.graph.output.push(value(name, DataType::Float, dims));
    }

    /// Writes `model.onnx`.
    pub(crate) fn write(&self, folder: &Path) {
        let set = |domain: &str, version| OperatorSetIdProto { domain: domain.to_owned(), version };
        let model = ModelProto {
            ir_version: 8,
            opset_import: vec![set("", self.opset), set(FUSED, 1)],
            graph: Some(self.graph.clone()),
            functions: self.functions.clone(),
            ..ModelProto::default()
        };
        std::fs::write(folder.join("model.onnx"), model.encode_to_vec()).unwrap();
    }
}

/// A node, which is called like its first output.
pub(crate) fn named_node(operator: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    NodeProto {
        op_type: operator.to_owned(),
        name: format!("node_{}", outputs.first().copied().unwrap_or_default()),
        input: owned(inputs),
        output: owned(outputs),
        ..NodeProto::default()
    }
}

fn value(name: &str, data_type: DataType, dims: &[&str]) -> ValueInfoProto {
    let dim = |dim: &&str| DimensionProto { value: Some(DimensionValue::Name((*dim).to_owned())) };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor_type = TensorTypeProto { elem_type: data_type.into(), shape: Some(shape) };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { tensor_type: Some(tensor_type) }),
        ..ValueInfoProto::default()
    }
}

pub(crate) use crate::proto::AttributeProto as Setting;
