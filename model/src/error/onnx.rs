//! Why an ONNX graph is not read.

use std::path::PathBuf;

use super::ErrorKind;

/// Everything that can be wrong with an ONNX graph.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The file is no ONNX model.
    #[error("{path}: not an ONNX model: {reason}", path = path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },

    /// More parts than any encoder has.
    #[error("{path}: found more than {limit} {what}; no encoder needs as many", path = path.display())]
    Limit {
        /// The file.
        path: PathBuf,
        /// What there is too much of.
        what: &'static str,
        /// The most that is read.
        limit: usize,
    },

    /// A name that two values have.
    #[error("{path}: found the value {name:?} made twice; expected one {expected}", path = path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The value.
        name: String,
        /// What may make a value.
        expected: &'static str,
    },

    /// A node reads a value that nothing makes.
    #[error("{path}: node {node} reads {value:?}, which no input, initialiser or node makes", path = path.display())]
    Undefined {
        /// The file.
        path: PathBuf,
        /// Node and operator.
        node: String,
        /// The value.
        value: String,
    },

    /// Nodes that need each other.
    #[error("{path}: node {node} is part of a cycle; expected nodes that can run one after the other", path = path.display())]
    Cycle {
        /// The file.
        path: PathBuf,
        /// Node and operator.
        node: String,
    },

    /// A constant whose description and elements disagree, or of a type that is not read.
    #[error("{path}: tensor {tensor:?}: found {found}; expected {expected}", path = path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The constant.
        tensor: String,
        /// What the file says.
        found: String,
        /// What it must say.
        expected: String,
    },

    /// Elements in another file that cannot be there.
    #[error("{path}: tensor {tensor:?} lies in the file {location:?}: {reason}", path = path.display())]
    External {
        /// The file of the graph.
        path: PathBuf,
        /// The constant.
        tensor: String,
        /// Name of the other file.
        location: String,
        /// What is wrong with it.
        reason: String,
    },

    /// An operator that fuses several of ONNX's own.
    #[error(
        "{path}: node {node} is of the operator set {domain:?}, and is not read; expected ONNX's own operators, or fused ones that are known: export the \
         model without optimisation (for ONNX Runtime: no optimised model saved, optimum without --optimize)",
        path = path.display()
    )]
    Fused {
        /// The file.
        path: PathBuf,
        /// Node and operator.
        node: String,
        /// Its operator set.
        domain: String,
    },

    /// Tracing stopped: an encoder has other nodes at this place.
    #[error("{path}: cannot trace the graph at {node}: found {found}; expected {expected}", path = path.display())]
    Structure {
        /// The file.
        path: PathBuf,
        /// Where: node and operator, or the name of a value.
        node: String,
        /// What is there.
        found: String,
        /// What an encoder has there.
        expected: String,
    },

    /// Graph and `config.json` disagree.
    #[error("{path}: {what}: the graph has {graph}; config.json says {config}", path = path.display())]
    Config {
        /// The file of the graph.
        path: PathBuf,
        /// What they disagree about, and where.
        what: String,
        /// What the graph says.
        graph: String,
        /// What `config.json` says.
        config: String,
    },

    /// The pooling of the graph and that of the files beside it disagree.
    #[error(
        "{path}: the pooling of the output {output:?}: the graph has {graph}; {file} says {settings}: correct the file, or export the graph without \
         this output",
        path = path.display(),
        file = file.display()
    )]
    Pooling {
        /// The file of the graph.
        path: PathBuf,
        /// The output that is pooled.
        output: String,
        /// What the graph computes.
        graph: String,
        /// The file of the settings.
        file: PathBuf,
        /// What they say.
        settings: String,
    },

    /// There is no head of the kind that `config.json` names, in a form that is read.
    #[error("{path}: no {expected} found behind the last layer: {reason}", path = path.display())]
    Head {
        /// The file.
        path: PathBuf,
        /// The class of the head.
        expected: &'static str,
        /// Where it was looked for.
        reason: String,
    },
}

impl OnnxError {
    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            OnnxError::Fused { .. } | OnnxError::Structure { .. } | OnnxError::Limit { .. } => ErrorKind::Unsupported,
            OnnxError::Decode { .. }
            | OnnxError::Duplicate { .. }
            | OnnxError::Undefined { .. }
            | OnnxError::Cycle { .. }
            | OnnxError::Tensor { .. }
            | OnnxError::External { .. }
            | OnnxError::Config { .. }
            | OnnxError::Pooling { .. } => ErrorKind::InvalidFile,
            OnnxError::Head { .. } => ErrorKind::Missing,
        }
    }
}
