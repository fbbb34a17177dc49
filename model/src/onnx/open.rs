//! Opening a graph.

use std::path::Path;

use super::file::GraphFile;
use super::graph::Graph;
use super::outputs::Outputs;
use super::trace::Read;
use crate::checkpoint::TensorInfo;
use crate::config::EncoderConfig;
use crate::error::Result;
use crate::heads::{HeadConfig, HeadWeights};
use crate::proto::DataType;

/// A graph that was opened and checked, and not understood yet.
pub(crate) struct OnnxGraph(Graph);

impl OnnxGraph {
    /// Opens a file.
    pub(crate) fn open(path: &Path) -> Result<OnnxGraph> {
        let (file, model) = GraphFile::read(path)?;
        Graph::new(file, model).map(OnnxGraph)
    }

    /// The encoder in it, and what pools its hidden states. `outputs` says what its outputs may be.
    pub(crate) fn encoder(&self, config: &EncoderConfig, outputs: Outputs) -> Result<Read> {
        let graph = &self.0;
        graph.bounded(graph.trace(config).and_then(|traced| {
            let one_type = traced.check_tokens(graph, config)?;
            let pooling = graph.own_pooling(traced.states, config, outputs)?;
            let mut read = Read { pooling, ..traced.load(graph, config, one_type)? };
            let notes = traced.check_encoder(graph, config, &read)?;
            read.notes.extend(notes);
            Ok(read)
        }))
    }

    /// The head behind the encoder.
    pub(crate) fn head(&self, config: &EncoderConfig, head: &HeadConfig) -> Result<HeadWeights> {
        let graph = &self.0;
        graph.bounded(graph.trace(config).and_then(|traced| {
            let (weights, last) = graph.head(traced.states, config, head)?;
            traced.check_head(graph, config, (head, &weights, last))?;
            Ok(weights)
        }))
    }

    /// The initialisers as the file describes them, in the order of their names.
    pub(crate) fn tensors(&self) -> Vec<TensorInfo> {
        let sizes = |dims: &[i64]| dims.iter().map(|&d| usize::try_from(d).unwrap_or(0)).collect::<Vec<_>>();
        let info = |tensor: &crate::proto::TensorProto| {
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
