//! The messages of `onnx.proto3` that encoders need, written out by hand: no protobuf compiler is involved.
//!
//! Field numbers, types and packing are those of the ONNX project's `onnx.proto` (IR version 8). Fields that are not listed here
//! (training, sparse tensors, subgraphs, annotations) are skipped when a file is read and never written. Where `onnx.proto`
//! tells an absent number from a zero, so do these types: readers of either dialect understand what is written.

use prost::bytes::Bytes;
use prost::{Enumeration, Message, Oneof};

/// A file: a graph, and what is needed to understand it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ModelProto {
    /// Version of the file format.
    #[prost(int64, tag = "1")]
    pub(crate) ir_version: i64,
    /// The program that wrote the file.
    #[prost(string, tag = "2")]
    pub(crate) producer_name: String,
    /// Its version.
    #[prost(string, tag = "3")]
    pub(crate) producer_version: String,
    /// Name space of the model, a reversed domain name.
    #[prost(string, tag = "4")]
    pub(crate) domain: String,
    /// Version of the model.
    #[prost(int64, tag = "5")]
    pub(crate) model_version: i64,
    /// Text for people.
    #[prost(string, tag = "6")]
    pub(crate) doc_string: String,
    /// The graph.
    #[prost(message, optional, tag = "7")]
    pub(crate) graph: Option<GraphProto>,
    /// The operator sets that the graph uses.
    #[prost(message, repeated, tag = "8")]
    pub(crate) opset_import: Vec<OperatorSetIdProto>,
    /// Names and values for programs.
    #[prost(message, repeated, tag = "14")]
    pub(crate) metadata_props: Vec<StringStringEntryProto>,
    /// Operators that the file defines itself, as nodes.
    #[prost(message, repeated, tag = "25")]
    pub(crate) functions: Vec<FunctionProto>,
}

/// An operator that is defined by nodes.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct FunctionProto {
    /// Its name, the `op_type` of the nodes that call it.
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    /// Names of its inputs, inside.
    #[prost(string, repeated, tag = "4")]
    pub(crate) input: Vec<String>,
    /// Names of its outputs, inside.
    #[prost(string, repeated, tag = "5")]
    pub(crate) output: Vec<String>,
    /// Names of its settings that have no default.
    #[prost(string, repeated, tag = "6")]
    pub(crate) attribute: Vec<String>,
    /// What it computes.
    #[prost(message, repeated, tag = "7")]
    pub(crate) node: Vec<NodeProto>,
    /// The operator set that it belongs to.
    #[prost(string, tag = "10")]
    pub(crate) domain: String,
    /// Settings with defaults.
    #[prost(message, repeated, tag = "11")]
    pub(crate) attribute_proto: Vec<AttributeProto>,
    /// Tells functions of one name apart.
    #[prost(string, tag = "13")]
    pub(crate) overload: String,
}

/// An operator set.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OperatorSetIdProto {
    /// Empty for ONNX's own operators.
    #[prost(string, tag = "1")]
    pub(crate) domain: String,
    /// Its version.
    #[prost(int64, tag = "2")]
    pub(crate) version: i64,
}

/// A name with a value.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StringStringEntryProto {
    /// The name.
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    /// The value.
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

/// Nodes in an order in which they can run, and the tensors they start from.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct GraphProto {
    /// Nodes; each comes after those whose outputs it reads.
    #[prost(message, repeated, tag = "1")]
    pub(crate) node: Vec<NodeProto>,
    /// Name of the graph.
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    /// Constants: weights, shapes.
    #[prost(message, repeated, tag = "5")]
    pub(crate) initializer: Vec<TensorProto>,
    /// Text for people.
    #[prost(string, tag = "10")]
    pub(crate) doc_string: String,
    /// Inputs.
    #[prost(message, repeated, tag = "11")]
    pub(crate) input: Vec<ValueInfoProto>,
    /// Outputs.
    #[prost(message, repeated, tag = "12")]
    pub(crate) output: Vec<ValueInfoProto>,
    /// Types of values in between.
    #[prost(message, repeated, tag = "13")]
    pub(crate) value_info: Vec<ValueInfoProto>,
}

/// One operation.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct NodeProto {
    /// Names of the values it reads; an empty name stands for an absent optional input.
    #[prost(string, repeated, tag = "1")]
    pub(crate) input: Vec<String>,
    /// Names of the values it makes.
    #[prost(string, repeated, tag = "2")]
    pub(crate) output: Vec<String>,
    /// Its own name.
    #[prost(string, tag = "3")]
    pub(crate) name: String,
    /// The operator.
    #[prost(string, tag = "4")]
    pub(crate) op_type: String,
    /// Settings of the operator.
    #[prost(message, repeated, tag = "5")]
    pub(crate) attribute: Vec<AttributeProto>,
    /// Text for people.
    #[prost(string, tag = "6")]
    pub(crate) doc_string: String,
    /// The operator set; empty for ONNX's own operators.
    #[prost(string, tag = "7")]
    pub(crate) domain: String,
    /// Tells functions of one name apart.
    #[prost(string, tag = "8")]
    pub(crate) overload: String,
}

/// A setting of an operator; `type` says which field holds it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AttributeProto {
    /// Its name.
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    /// A number.
    #[prost(float, optional, tag = "2")]
    pub(crate) f: Option<f32>,
    /// A whole number.
    #[prost(int64, optional, tag = "3")]
    pub(crate) i: Option<i64>,
    /// A string in UTF-8.
    #[prost(bytes = "vec", optional, tag = "4")]
    pub(crate) s: Option<Vec<u8>>,
    /// A tensor.
    #[prost(message, optional, tag = "5")]
    pub(crate) t: Option<TensorProto>,
    /// Numbers.
    #[prost(float, repeated, packed = "false", tag = "7")]
    pub(crate) floats: Vec<f32>,
    /// Whole numbers.
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub(crate) ints: Vec<i64>,
    /// Strings in UTF-8.
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub(crate) strings: Vec<Vec<u8>>,
    /// Text for people.
    #[prost(string, tag = "13")]
    pub(crate) doc_string: String,
    /// Which of the fields holds the value.
    #[prost(enumeration = "AttributeType", tag = "20")]
    pub(crate) r#type: i32,
    /// In a function: the function's own setting that gives the value.
    #[prost(string, tag = "21")]
    pub(crate) ref_attr_name: String,
}

impl AttributeProto {
    /// A whole number.
    pub(crate) fn int(name: &str, value: i64) -> AttributeProto {
        AttributeProto { i: Some(value), ..AttributeProto::named(name, AttributeType::Int) }
    }

    /// Whole numbers.
    pub(crate) fn ints(name: &str, values: &[i64]) -> AttributeProto {
        AttributeProto { ints: values.to_vec(), ..AttributeProto::named(name, AttributeType::Ints) }
    }

    /// A number.
    pub(crate) fn float(name: &str, value: f32) -> AttributeProto {
        AttributeProto { f: Some(value), ..AttributeProto::named(name, AttributeType::Float) }
    }

    /// A string.
    pub(crate) fn string(name: &str, value: &str) -> AttributeProto {
        AttributeProto { s: Some(value.as_bytes().to_vec()), ..AttributeProto::named(name, AttributeType::String) }
    }

    fn named(name: &str, r#type: AttributeType) -> AttributeProto {
        AttributeProto { name: name.to_owned(), r#type: r#type.into(), ..AttributeProto::default() }
    }
}

/// Which field of an [`AttributeProto`] holds its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(crate) enum AttributeType {
    /// Not said.
    Undefined = 0,
    /// `f`.
    Float = 1,
    /// `i`.
    Int = 2,
    /// `s`.
    String = 3,
    /// `t`.
    Tensor = 4,
    /// A subgraph, which is not read here.
    Graph = 5,
    /// `floats`.
    Floats = 6,
    /// `ints`.
    Ints = 7,
    /// `strings`.
    Strings = 8,
    /// Tensors, which are not read here.
    Tensors = 9,
    /// Subgraphs, which are not read here.
    Graphs = 10,
    /// A sparse tensor, which is not read here.
    SparseTensor = 11,
    /// Sparse tensors, which are not read here.
    SparseTensors = 12,
    /// A type, which is not read here.
    TypeProto = 13,
    /// Types, which are not read here.
    TypeProtos = 14,
}

/// A constant. Its elements are in `raw_data`, or in the field for its type, or in another file.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorProto {
    /// Shape; none for a scalar.
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub(crate) dims: Vec<i64>,
    /// Type of the elements.
    #[prost(enumeration = "DataType", tag = "2")]
    pub(crate) data_type: i32,
    /// Elements of type f32.
    #[prost(float, repeated, tag = "4")]
    pub(crate) float_data: Vec<f32>,
    /// Elements of type s32, s16, s8, u16, u8, bool, f16 or bf16, each in a number of its own.
    #[prost(int32, repeated, tag = "5")]
    pub(crate) int32_data: Vec<i32>,
    /// Elements of type s64.
    #[prost(int64, repeated, tag = "7")]
    pub(crate) int64_data: Vec<i64>,
    /// Its name.
    #[prost(string, tag = "8")]
    pub(crate) name: String,
    /// Elements of any type, little-endian, row-major.
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub(crate) raw_data: Option<Bytes>,
    /// Elements of type f64.
    #[prost(double, repeated, tag = "10")]
    pub(crate) double_data: Vec<f64>,
    /// Elements of type u32 or u64.
    #[prost(uint64, repeated, tag = "11")]
    pub(crate) uint64_data: Vec<u64>,
    /// Text for people.
    #[prost(string, tag = "12")]
    pub(crate) doc_string: String,
    /// Where the elements are in another file: `location`, `offset`, `length`.
    #[prost(message, repeated, tag = "13")]
    pub(crate) external_data: Vec<StringStringEntryProto>,
    /// Whether they are in another file.
    #[prost(enumeration = "DataLocation", optional, tag = "14")]
    pub(crate) data_location: Option<i32>,
}

/// Where the elements of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(crate) enum DataLocation {
    /// In the tensor.
    Default = 0,
    /// In another file.
    External = 1,
}

/// Type of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(crate) enum DataType {
    /// Not said.
    Undefined = 0,
    /// f32.
    Float = 1,
    /// u8.
    Uint8 = 2,
    /// s8.
    Int8 = 3,
    /// u16.
    Uint16 = 4,
    /// s16.
    Int16 = 5,
    /// s32.
    Int32 = 6,
    /// s64.
    Int64 = 7,
    /// UTF-8.
    String = 8,
    /// One byte, 0 or 1.
    Bool = 9,
    /// f16.
    Float16 = 10,
    /// f64.
    Double = 11,
    /// u32.
    Uint32 = 12,
    /// u64.
    Uint64 = 13,
    /// Two f32.
    Complex64 = 14,
    /// Two f64.
    Complex128 = 15,
    /// bf16.
    Bfloat16 = 16,
}

/// A value with its type.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueInfoProto {
    /// Its name.
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    /// Its type.
    #[prost(message, optional, tag = "2")]
    pub(crate) r#type: Option<TypeProto>,
    /// Text for people.
    #[prost(string, tag = "3")]
    pub(crate) doc_string: String,
}

/// The type of a value.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TypeProto {
    /// A tensor; absent for sequences, maps and others, which are not read here.
    #[prost(message, optional, tag = "1")]
    pub(crate) tensor_type: Option<TensorTypeProto>,
}

/// The type of a tensor.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorTypeProto {
    /// Type of the elements.
    #[prost(enumeration = "DataType", tag = "1")]
    pub(crate) elem_type: i32,
    /// Shape; absent when even the rank is unknown.
    #[prost(message, optional, tag = "2")]
    pub(crate) shape: Option<TensorShapeProto>,
}

/// A shape.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorShapeProto {
    /// One entry per dimension.
    #[prost(message, repeated, tag = "1")]
    pub(crate) dim: Vec<DimensionProto>,
}

/// One dimension.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DimensionProto {
    /// Its size; absent when nothing is known.
    #[prost(oneof = "DimensionValue", tags = "1, 2")]
    pub(crate) value: Option<DimensionValue>,
}

/// The size of a dimension.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub(crate) enum DimensionValue {
    /// Known.
    #[prost(int64, tag = "1")]
    Size(i64),
    /// Known when the model runs; equal names are equal sizes.
    #[prost(string, tag = "2")]
    Name(String),
}
