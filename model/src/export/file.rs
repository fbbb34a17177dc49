//! A graph as a file.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;

use prost::Message;

use crate::error::{Error, Result};
use crate::files::{self, WriteError};
use crate::proto::{DataType, ModelProto, TensorProto};

/// Most bytes of a protobuf message: every reader counts them in a signed 32-bit number.
const MAX_BYTES: u64 = (1 << 31) - 1;

/// A model as an ONNX graph, small enough to be a file.
#[derive(Debug, Clone, PartialEq)]
pub struct OnnxModel {
    proto: ModelProto,
}

/// What an ONNX model consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnnxSummary {
    /// Bytes of the file.
    pub bytes: usize,
    /// Version of the file format.
    pub ir_version: i64,
    /// Version of ONNX's own operator set.
    pub opset: i64,
    /// Operations.
    pub nodes: usize,
    /// Constants.
    pub initializers: usize,
    /// Weights of linear layers: elements of matrices that are no tables.
    pub weights: usize,
    /// Those that are zero.
    pub zeros: usize,
}

impl OnnxModel {
    /// A model from its messages.
    ///
    /// # Errors
    /// [`Error::OnnxTooLarge`] if it would be larger than 2 GiB as a file.
    pub(crate) fn from_proto(proto: ModelProto) -> Result<Self> {
        check_size(proto.encoded_len() as u64)?;
        Ok(Self { proto })
    }

    /// Length of the file in bytes.
    pub fn encoded_len(&self) -> usize {
        self.proto.encoded_len()
    }

    /// The bytes of the file. Equal models give equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.proto.encode_to_vec()
    }

    /// Writes the bytes of the file.
    ///
    /// # Errors
    /// Those of the writer; part of the file may then have been written.
    pub fn write_to(&self, mut out: impl Write) -> io::Result<()> {
        out.write_all(&self.to_bytes())
    }

    /// Writes the file. It appears only when it is complete, and then replaces an older file of that name.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        files::replace(path, |file| self.write_to(file)).map_err(|WriteError { source, .. }| {
            let (path, action) = (path.to_owned(), "write");
            Error::Io { path, action, source }
        })
    }

    /// What it consists of.
    pub fn summary(&self) -> OnnxSummary {
        let graph = self.proto.graph.as_ref();
        let nodes = graph.map_or(&[][..], |graph| &graph.node);
        let initializers = graph.map_or(&[][..], |graph| &graph.initializer);
        let looked_up = nodes.iter().filter(|node| matches!(&*node.op_type, "Gather" | "Slice"));
        let tables: HashSet<&str> = looked_up.flat_map(|node| &node.input).map(String::as_str).collect();
        let is_matrix = |t: &&TensorProto| t.dims.len() == 2 && !tables.contains(t.name.as_str());
        let (mut weights, mut zeros) = (0, 0);
        for matrix in initializers.iter().filter(is_matrix) {
            let bytes = matrix.raw_data.as_deref().unwrap_or_default();
            let size = if matrix.data_type() == DataType::Int8 { 1 } else { 4 };
            let elements = bytes.chunks_exact(size);
            weights += elements.len();
            zeros += elements.filter(|element| element.iter().all(|byte| *byte == 0)).count();
        }
        let own = self.proto.opset_import.iter().find(|set| set.domain.is_empty());
        OnnxSummary {
            bytes: self.encoded_len(),
            ir_version: self.proto.ir_version,
            opset: own.map_or(0, |set| set.version),
            nodes: nodes.len(),
            initializers: initializers.len(),
            weights,
            zeros,
        }
    }
}

/// Refuses what no reader of protobuf takes.
pub(super) fn check_size(bytes: u64) -> Result<()> {
    if bytes > MAX_BYTES { Err(Error::OnnxTooLarge { found: bytes, limit: MAX_BYTES }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use prost::bytes::Bytes;

    use super::*;
    use crate::proto::GraphProto;

    #[test]
    fn files_over_two_gib_are_refused() {
        // All tensors share the same bytes.
        const PART: usize = 1 << 26;
        let part = Bytes::from(vec![0; PART]);
        let of = |parts: usize| {
            let tensor = TensorProto { raw_data: Some(part.clone()), ..TensorProto::default() };
            let graph = GraphProto { initializer: vec![tensor; parts], ..GraphProto::default() };
            OnnxModel::from_proto(ModelProto { graph: Some(graph), ..ModelProto::default() })
        };
        assert!(of(31).unwrap().encoded_len() > 31 * PART);
        let error = of(32).expect_err("2 GiB and some names");
        assert!(matches!(error, Error::OnnxTooLarge { found, limit: 0x7fff_ffff } if found > 32 << 26), "{error}");
    }
}
