//! ONNX: models as graphs that other runtimes load, and as graphs that others wrote.
//!
//! [`Model::from_dir`](crate::Model::from_dir) and [`Model::from_onnx`](crate::Model::from_onnx) read graphs, f32 and int8; docs/weights.md
//! says which, and what of a quantised one is kept. The rest of this page is about writing.
//!
//! [`Model::to_onnx`] gives f32, [`Model::to_onnx_dynamic`] and [`CalibratedModel::to_onnx_qdq`] give int8. A graph takes `input_ids`,
//! `attention_mask` (1 for tokens, 0 for padding, which is on the right) and `token_type_ids`, s64 `[batch, sequence]` with both sizes
//! free, and gives `last_hidden_state` `[batch, sequence, hidden]` and `sentence_embedding` `[batch, hidden]`, pooled and normalised as
//! the model says. It uses ONNX's own operators alone, version 17, in files of IR version 8: ONNX Runtime 1.17 and later was tried.
//! Weights that are zero stay zero.
//!
//! Constants are named as in checkpoints of BERT. Matrices are `[K][M]`, transposed, as MatMul wants them.
//!
//! [`Model::to_onnx`]: crate::Model::to_onnx
//! [`Model::to_onnx_dynamic`]: crate::Model::to_onnx_dynamic
//! [`CalibratedModel::to_onnx_qdq`]: crate::CalibratedModel::to_onnx_qdq
//!
//! # Why graphs look as they do
//!
//! So that ONNX Runtime runs them as fast as it can run such a model at all: they are what Lacuna is measured against. CPU time of
//! all-MiniLM-L6-v2 on 1 x 128 tokens in ms, ONNX Runtime 1.32, one thread of a Zen 4 server core, the best of 30 interleaved calls:
//!
//! | graph | f32 | dynamic | static |
//! | --- | --- | --- | --- |
//! | as written: activations are `[tokens, features]` in the layers | 30.6 | 11.8 | 11.9 |
//! | the same, sizes fixed when it is loaded | 30.6 | 12.0 | 11.9 |
//! | activations `[batch, sequence, features]`, as exporters of training libraries have them | 30.2 | 11.9 | 12.2 |
//! | the same, sizes fixed | 33.1 | 14.7 | 53.0 |
//! | one matrix for q, k and v | 30.2 | 11.6 | |
//! | operator set 12, LayerNormalization written out, so that Attention is fused | 30.1 | | |
//! | attention in int8 too | | | 12.1 |
//! | through ONNX Runtime's own optimiser for BERT and `quantize_dynamic` | | 14.2 | |
//!
//! What is fused: GELU everywhere; MatMul and Add to Gemm in f32; DynamicQuantizeMatMul and MatMulIntegerToFloat, biases included, in
//! dynamic int8; QGemm, biases included, in static int8; the scale of attention into FusedMatMul. SkipLayerNormalization is fused where
//! sizes are fixed and activations have three dimensions. Its kernel takes longer than Add and LayerNormalization, which is why
//! activations have two here. With three and fixed sizes, static int8 is not recognised and runs in f32. EmbedLayerNormalization and
//! Attention are not fused in this operator set; what the first would replace is 1 % of the time, the second gains nothing. Versions 1.17 and 1.20 fuse
//! the same nodes.
//!
//! rten 0.27 runs f32 in 32.0 and dynamic int8 in 13.9 ms with `prepack_weights`, in 36 and 23 ms without. It has no kernels for static
//! int8, which it runs in f32.
//!
//! # Accuracy
//!
//! ONNX has one scale per activation, Lacuna one per feature. Cosine to f32 of 600 sentences of STS-B dev, mean and least: dynamic
//! 0.9938 and 0.9876, static (calibrated on 200 sentences) 0.9946 and 0.9898. With dynamic int8, a sentence's embedding depends on the
//! batch that it is in, padding included.
//!
//! # Limits
//! A file holds at most 2 GiB, protobuf's limit: [`Error::OnnxTooLarge`]. On CPUs without VNNI, ONNX Runtime adds pairs of u8 x s8
//! products in 16 bits, which may saturate; the integer sums are exact on those with it.

mod export;
mod graph;
mod layers;
mod linear;
mod pool;
pub mod proto;
mod read;

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;

use prost::Message;

use self::proto::{DataType, ModelProto, TensorProto};
pub use self::read::OnnxError;
#[cfg(feature = "hub")]
pub(crate) use self::read::external_files;
pub(crate) use self::read::{OnnxGraph, Read};
use crate::error::{Error, Result};

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
    pub fn from_proto(proto: ModelProto) -> Result<Self> {
        check_size(proto.encoded_len() as u64)?;
        Ok(Self { proto })
    }

    /// The messages.
    pub fn proto(&self) -> &ModelProto {
        &self.proto
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

    /// Writes the file, complete or not at all: an older one is replaced when its successor lies beside it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let failed = |source| Error::Io { path: path.to_owned(), action: "write", source };
        let directory = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".lacuna-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(std::fs::Permissions::from_mode(0o666)); // less the umask, as for any new file
        }
        let mut file = builder.tempfile_in(directory).map_err(failed)?;
        self.write_to(&mut file).map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
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
fn check_size(bytes: u64) -> Result<()> {
    if bytes > MAX_BYTES { Err(Error::OnnxTooLarge { found: bytes, limit: MAX_BYTES }) } else { Ok(()) }
}
