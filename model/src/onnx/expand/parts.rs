//! The nodes that a fused operator becomes.

use prost::bytes::Bytes;

use super::super::file::GraphFile;
use super::super::node::{attribute, input, named, number, shortened, whole};
use super::constants::{COLUMNS, Constants, INTERNAL, MASKED};
use crate::error::OnnxError;
use crate::proto::{AttributeProto, DataType, NodeProto, TensorProto};

/// A fused operator, and what it has become so far.
pub(super) struct Parts<'a> {
    pub(super) file: &'a GraphFile,
    /// The fused operator.
    pub(super) of: &'a NodeProto,
    constants: &'a Constants<'a>,
    /// The beginning of names that no value of the file has.
    prefix: &'a str,
    /// Names that were given, of all operators together.
    count: &'a mut usize,
    made: Vec<NodeProto>,
    tensors: Vec<TensorProto>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(
        file: &'a GraphFile,
        of: &'a NodeProto,
        constants: &'a Constants<'a>,
        prefix: &'a str,
        count: &'a mut usize,
    ) -> Parts<'a> {
        Parts { file, of, constants, prefix, count, made: vec![], tensors: vec![] }
    }

    /// Nodes in running order, and their constants.
    pub(super) fn finish(self) -> (Vec<NodeProto>, Vec<TensorProto>) {
        (self.made, self.tensors)
    }

    /// An input that must be there.
    pub(super) fn input(&self, i: usize) -> Result<&'a str, OnnxError> {
        self.optional(i).ok_or_else(|| self.refused(format!("no input {i}"), "one"))
    }

    /// An input that may be absent.
    pub(super) fn optional(&self, i: usize) -> Option<&'a str> {
        input(self.of, i)
    }

    /// A whole number that is set on the operator.
    pub(super) fn whole(&self, name: &str) -> Option<i64> {
        whole(self.of, name)
    }

    /// A number that is set on the operator.
    pub(super) fn number(&self, name: &str) -> Option<f32> {
        number(self.of, name)
    }

    /// Whole numbers that are set on the operator.
    pub(super) fn wholes(&self, name: &str) -> Option<&'a [i64]> {
        attribute(self.of, name).map(|attribute| &*attribute.ints)
    }

    /// Refuses inputs that change what the operator computes.
    pub(super) fn absent(&self, inputs: &[(usize, &str)]) -> Result<(), OnnxError> {
        match inputs.iter().find(|(i, _)| self.optional(*i).is_some()) {
            Some((_, name)) => Err(self.refused(format!("the input {name}"), "an encoder, which has none")),
            None => Ok(()),
        }
    }

    /// Refuses settings other than 0 that change what the operator computes.
    pub(super) fn zero(&self, settings: &[&str]) -> Result<(), OnnxError> {
        match settings.iter().find(|name| self.whole(name).unwrap_or(0) != 0) {
            Some(name) => {
                let found = format!("{name} = {}", self.whole(name).unwrap_or(0));
                Err(self.refused(found, "0, as encoders have it"))
            }
            None => Ok(()),
        }
    }

    /// The shape of an initialiser.
    pub(super) fn dims(&self, value: &str) -> Option<&'a [i64]> {
        self.constants.dims.get(value).copied()
    }

    /// Whether a value is made of constants alone.
    pub(super) fn is_constant(&self, value: &str) -> bool {
        self.constants.names.contains(value)
    }

    /// The error of a form of the operator that is not read.
    pub(super) fn refused(&self, found: impl Into<String>, expected: impl Into<String>) -> OnnxError {
        OnnxError::Structure {
            path: self.file.path.clone(),
            node: named(self.of),
            found: found.into(),
            expected: expected.into(),
        }
    }

    /// A node with one output.
    pub(super) fn node(&mut self, operator: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let name = self.fresh();
        self.push("", operator, inputs, vec![name.clone()], attributes);
        name
    }

    /// A node with so many outputs.
    pub(super) fn outputs<const N: usize>(&mut self, operator: &str, inputs: &[&str]) -> [String; N] {
        let names = std::array::from_fn(|_| self.fresh());
        self.push("", operator, inputs, names.to_vec(), vec![]);
        names
    }

    /// The node that makes an output of the operator.
    pub(super) fn give(&mut self, i: usize, operator: &str, inputs: &[&str], attributes: Vec<AttributeProto>) {
        if let Some(name) = self.of.output.get(i).filter(|name| !name.is_empty()) {
            self.push("", operator, inputs, vec![name.clone()], attributes);
        }
    }

    /// Some columns of a constant.
    pub(super) fn columns(&mut self, of: &str, start: i64, end: i64) -> String {
        let name = self.fresh();
        let bounds = vec![AttributeProto::int("start", start), AttributeProto::int("end", end)];
        self.push(INTERNAL, COLUMNS, &[of], vec![name.clone()], bounds);
        name
    }

    /// Scores behind a mask.
    pub(super) fn masked(&mut self, scores: &str, mask: &str) -> String {
        let name = self.fresh();
        self.push(INTERNAL, MASKED, &[scores, mask], vec![name.clone()], vec![]);
        name
    }

    /// Codes as f32.
    pub(super) fn dequantized(&mut self, codes: &str, scale: &str, zero: Option<&str>, axis: i64) -> String {
        self.node("DequantizeLinear", &[codes, scale, zero.unwrap_or("")], vec![AttributeProto::int("axis", axis)])
    }

    /// A constant list of whole numbers.
    pub(super) fn list(&mut self, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        self.constant(vec![values.len() as i64], DataType::Int64, bytes)
    }

    /// A constant number.
    pub(super) fn scalar(&mut self, value: f32) -> String {
        self.constant(vec![], DataType::Float, value.to_le_bytes().to_vec())
    }

    fn constant(&mut self, dims: Vec<i64>, data_type: DataType, bytes: Vec<u8>) -> String {
        let name = self.fresh();
        self.tensors.push(TensorProto {
            dims,
            data_type: data_type.into(),
            name: name.clone(),
            raw_data: Some(Bytes::from(bytes)),
            ..TensorProto::default()
        });
        name
    }

    fn fresh(&mut self) -> String {
        *self.count += 1;
        format!("{}{}", self.prefix, self.count)
    }

    fn push(
        &mut self,
        domain: &str,
        operator: &str,
        inputs: &[&str],
        output: Vec<String>,
        attribute: Vec<AttributeProto>,
    ) {
        let of = match &*self.of.name {
            "" => self.of.output.first().map_or("", String::as_str),
            name => name,
        };
        self.made.push(NodeProto {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output,
            name: format!("{}/{}", shortened(of), self.of.op_type),
            op_type: operator.to_owned(),
            domain: domain.to_owned(),
            attribute,
            ..NodeProto::default()
        });
    }
}
