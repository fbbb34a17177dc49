//! Building a graph: nodes in running order, constants that are stored once.

use std::collections::HashSet;

use prost::bytes::Bytes;

use crate::proto::{
    AttributeProto, DataType, DimensionProto, DimensionValue, GraphProto, NodeProto, TensorProto, TensorShapeProto,
    TensorTypeProto, TypeProto, ValueInfoProto,
};

/// A value of the graph: an input, a constant, or what a node makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value(String);

impl Value {
    /// Its name in the file.
    pub(super) fn name(&self) -> &str {
        &self.0
    }
}

/// A size of an input or output.
#[derive(Clone, Copy)]
pub(super) enum Dim {
    /// Known when the model runs.
    Free(&'static str),
    /// Known now.
    Fixed(usize),
}

impl Dim {
    /// The number of sequences.
    pub(super) const BATCH: Dim = Dim::Free("batch");
    /// The length of the longest sequence.
    pub(super) const SEQUENCE: Dim = Dim::Free("sequence");
}

/// A graph under construction. Nodes are added in the order in which they run.
#[derive(Default)]
pub(super) struct Graph {
    graph: GraphProto,
    constants: HashSet<String>,
}

impl Graph {
    /// An input.
    pub(super) fn input(&mut self, name: &str, data_type: DataType, dims: &[Dim]) -> Value {
        self.graph.input.push(value_info(name, data_type, dims));
        Value(name.to_owned())
    }

    /// Makes a node's value an output, and gives it the name that users ask for.
    pub(super) fn output(&mut self, value: Value, name: &str, data_type: DataType, dims: &[Dim]) -> Value {
        for node in &mut self.graph.node {
            let uses = node.input.iter_mut().chain(&mut node.output);
            uses.filter(|used| *used == value.name()).for_each(|used| *used = name.to_owned());
        }
        self.graph.output.push(value_info(name, data_type, dims));
        Value(name.to_owned())
    }

    /// A constant. Asking for a name again gives the constant that has it, so equal names must mean equal elements; `bytes` is not
    /// called then.
    pub(super) fn constant(
        &mut self,
        name: String,
        data_type: DataType,
        dims: &[usize],
        bytes: impl FnOnce() -> Vec<u8>,
    ) -> Value {
        if self.constants.insert(name.clone()) {
            self.graph.initializer.push(TensorProto {
                dims: dims.iter().map(|&d| d as i64).collect(),
                data_type: data_type.into(),
                name: name.clone(),
                raw_data: Some(Bytes::from(bytes())),
                ..TensorProto::default()
            });
        }
        Value(name)
    }

    /// f32 elements.
    pub(super) fn floats(&mut self, name: String, dims: &[usize], values: &[f32]) -> Value {
        self.constant(name, DataType::Float, dims, || little_endian(values, f32::to_le_bytes))
    }

    /// One f32, named after its value.
    pub(super) fn scalar(&mut self, value: f32) -> Value {
        self.floats(format!("constant.f32.{value:e}"), &[], &[value])
    }

    /// A list of whole numbers, named after them: axes, shapes, bounds.
    pub(super) fn whole(&mut self, values: &[i64]) -> Value {
        let text: Vec<String> = values.iter().map(i64::to_string).collect();
        let bytes = || little_endian(values, i64::to_le_bytes);
        self.constant(format!("constant.s64.{}", text.join(".")), DataType::Int64, &[values.len()], bytes)
    }

    /// A node with one output, which has the node's name. The operator, one of ONNX's own, is the last part of the name: `Add` of
    /// `a/b/Add` and of `a/b/Add_1`.
    pub(super) fn node(&mut self, name: String, inputs: &[&Value], attributes: Vec<AttributeProto>) -> Value {
        let output = name.clone();
        let [output] = self.node_with_outputs(name, inputs, [output], attributes);
        output
    }

    /// A node with named outputs.
    pub(super) fn node_with_outputs<const N: usize>(
        &mut self,
        name: String,
        inputs: &[&Value],
        outputs: [String; N],
        attribute: Vec<AttributeProto>,
    ) -> [Value; N] {
        let last = name.rsplit('/').next().unwrap_or_default();
        let op_type = last.split('_').next().unwrap_or_default().to_owned();
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|value| value.name().to_owned()).collect(),
            output: outputs.to_vec(),
            name,
            op_type,
            attribute,
            ..NodeProto::default()
        });
        outputs.map(Value)
    }

    /// The finished graph, without constants that no node reads.
    pub(super) fn finish(mut self, name: &str) -> GraphProto {
        let read: HashSet<&str> = self.graph.node.iter().flat_map(|node| &node.input).map(String::as_str).collect();
        self.graph.initializer.retain(|constant| read.contains(constant.name.as_str()));
        GraphProto { name: name.to_owned(), ..self.graph }
    }
}

/// The bytes of numbers as they are stored.
pub(super) fn little_endian<T: Copy, const N: usize>(values: &[T], bytes_of: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    let mut bytes = vec![0; N * values.len()];
    bytes.as_chunks_mut().0.iter_mut().zip(values).for_each(|(bytes, &value)| *bytes = bytes_of(value));
    bytes
}

/// A whole number as a setting.
pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto::int(name, value)
}

/// Whole numbers as a setting.
pub(super) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto::ints(name, values)
}

/// A number as a setting.
pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto::float(name, value)
}

fn value_info(name: &str, data_type: DataType, dims: &[Dim]) -> ValueInfoProto {
    let dim = |dim: &Dim| DimensionProto {
        value: Some(match *dim {
            Dim::Free(name) => DimensionValue::Name(name.to_owned()),
            Dim::Fixed(size) => DimensionValue::Size(size as i64),
        }),
    };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor_type = TensorTypeProto { elem_type: data_type.into(), shape: Some(shape) };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { tensor_type: Some(tensor_type) }),
        doc_string: String::new(),
    }
}
