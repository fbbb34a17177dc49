//! Graphs in: from an ONNX file to the weights of an encoder.
//!
//! What a graph computes decides what its constants are; names are looked at only to tell its inputs apart. Tracing goes from the last
//! layer normalisation back to the embeddings:
//!
//! ```text
//! norm(down(f(up(x))) + x)        x = norm(o(softmax(q(h) k(h)^T / sqrt(d) + mask) v(h)) + h)        h: the layer before, or
//! norm(word[id] + position[n] + token_type[type]), projected in ELECTRA
//! ```
//!
//! Every step names the node where it stops. Everything found is compared with `config.json`. Nothing is executed, nor is memory taken
//! beyond a few times the weights' own.

mod activation;
mod attention;
mod chain;
mod embeddings;
mod error;
mod file;
mod fold;
mod graph;
mod heads;
mod norm;
mod product;
mod tensor;
mod trace;

use std::path::Path;

pub use self::error::OnnxError;
#[cfg(feature = "hub")]
pub(crate) use self::file::external_files;
pub(crate) use self::trace::Read;

use self::file::GraphFile;
use self::graph::Graph;
use super::proto::DataType;
use crate::checkpoint::TensorInfo;
use crate::config::EncoderConfig;
use crate::error::Result;
use crate::heads::{HeadConfig, HeadWeights};

/// A graph that was opened and checked, and not understood yet.
pub(crate) struct OnnxGraph(Graph);

impl OnnxGraph {
    /// Opens a file.
    pub(crate) fn open(path: &Path) -> Result<OnnxGraph> {
        let (file, model) = GraphFile::read(path)?;
        Graph::new(file, model).map(OnnxGraph)
    }

    /// The encoder in it.
    pub(crate) fn encoder(&self, config: &EncoderConfig) -> Result<Read> {
        self.0.trace(config)?.load(&self.0, config)
    }

    /// The head behind the encoder.
    pub(crate) fn head(&self, config: &EncoderConfig, head: &HeadConfig) -> Result<HeadWeights> {
        let traced = self.0.trace(config)?;
        self.0.head(traced.states, config, head)
    }

    /// The initialisers as the file describes them, in the order of their names.
    pub(crate) fn tensors(&self) -> Vec<TensorInfo> {
        let sizes = |dims: &[i64]| dims.iter().map(|&d| usize::try_from(d).unwrap_or(0)).collect::<Vec<_>>();
        let info = |tensor: &super::proto::TensorProto| {
            let (dtype, size) = match tensor.data_type() {
                DataType::Float => ("F32", 4),
                DataType::Float16 => ("F16", 2),
                DataType::Bfloat16 => ("BF16", 2),
                DataType::Double => ("F64", 8),
                DataType::Int8 => ("I8", 1),
                DataType::Uint8 => ("U8", 1),
                DataType::Int16 => ("I16", 2),
                DataType::Uint16 => ("U16", 2),
                DataType::Int32 => ("I32", 4),
                DataType::Uint32 => ("U32", 4),
                DataType::Int64 => ("I64", 8),
                DataType::Uint64 => ("U64", 8),
                DataType::Bool => ("BOOL", 1),
                _ => ("other", 0),
            };
            let shape = sizes(&tensor.dims);
            let elements = shape.iter().fold(1usize, |n, &d| n.saturating_mul(d));
            TensorInfo { name: tensor.name.clone(), dtype: dtype.into(), shape, bytes: elements.saturating_mul(size) }
        };
        let mut tensors: Vec<TensorInfo> = self.0.initializers().iter().map(info).collect();
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        tensors
    }
}
