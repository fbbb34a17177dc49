//! What can be wrong with the weights of a model.

use std::path::PathBuf;

use super::ErrorKind;

/// Every way in which a weight file, an index of such files or a tensor can be damaged, missing or not what the model needs.
///
/// Each variant names the file and the tensor, what was found and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightError {
    /// A checkpoint is shorter than its header says, or has bytes that belong to no tensor.
    #[error(
        "{path}: file length does not fit its header: found {found} bytes; expected {expected}; \
         download the file again",
        path = path.display()
    )]
    CheckpointLength {
        /// The checkpoint.
        path: PathBuf,
        /// Length of the file in bytes.
        found: u64,
        /// What the header asks for.
        expected: String,
    },

    /// The header of a checkpoint is not a safetensors header.
    #[error("{path}: invalid safetensors header: {reason}", path = path.display())]
    CheckpointHeader {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// A tensor's byte range overlaps another, leaves a gap, leaves the file, or has not the length
    /// that its shape and dtype need.
    #[error(
        "{path}: tensor {tensor}: invalid byte range: found {found}; expected {expected}",
        path = path.display()
    )]
    TensorOffsets {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its byte range, relative to the end of the header.
        found: String,
        /// The range it should have.
        expected: String,
    },

    /// A folder has none of the files that weights are read from.
    #[error(
        "{path}: no weights: found {present}; expected one of {looked_for} (save_pretrained of transformers writes the first)",
        path = path.display()
    )]
    NoCheckpoint {
        /// The folder.
        path: PathBuf,
        /// The names that were looked for, in this order.
        looked_for: String,
        /// Files in it that may be weights in another format.
        present: String,
    },

    /// A path that cannot be a weight file.
    #[error("{path}: not a weight file: found {found}; expected {expected}", path = path.display())]
    NotWeights {
        /// The path.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        expected: &'static str,
    },

    /// A file with the ending of `torch.save` that is damaged, or holds what cannot be read without Python.
    #[error(
        "{path}: cannot read what torch.save wrote: {reason}; download the file again, or load it with torch and write \
         it with safetensors.torch.save_file",
        path = path.display()
    )]
    TorchFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// A pickle names a class or function that weights do not need; nothing of it was run.
    #[error(
        "{path}: refused to build an object of {found}; expected tensors, numbers, strings, and lists and dictionaries of \
         them: save the state_dict alone",
        path = path.display()
    )]
    PickledObject {
        /// The file.
        path: PathBuf,
        /// The class or function, with its module.
        found: String,
    },

    /// An index of weight files contradicts itself or its files.
    #[error("{path}: invalid index: found {found}; expected {expected}", path = path.display())]
    ShardIndex {
        /// The index.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What it should say.
        expected: String,
    },

    /// An index names a file for a tensor that is not in its own folder.
    #[error(
        "{path}: tensor {tensor}: invalid file {found:?}; expected the name of a file beside the index, without folders",
        path = path.display()
    )]
    ShardName {
        /// The index.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The file it is said to be in.
        found: String,
    },

    /// A file that an index lists is absent.
    #[error(
        "{path}: missing file {shard}, which should hold {tensor} (tensors of this file: {tensors}); expected it beside the index",
        path = path.display()
    )]
    MissingShard {
        /// The index.
        path: PathBuf,
        /// The absent file.
        shard: String,
        /// One of the tensors it holds.
        tensor: String,
        /// How many tensors the index puts there.
        tensors: usize,
    },

    /// A tensor is not in the file that the index names.
    #[error("{path}: tensor {tensor}: found in {found}; expected in {expected}", path = path.display())]
    ShardTensor {
        /// The index.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The file that it is in, or "no file".
        found: String,
        /// The file that the index names.
        expected: String,
    },

    /// A checkpoint holds all tensors of an encoder more than once, under different prefixes.
    #[error(
        "{path}: found {count} complete encoders, whose tensors' names begin with {found}; expected one: write the one to use \
         into a file of its own",
        path = path.display()
    )]
    SeveralEncoders {
        /// The file or index.
        path: PathBuf,
        /// How many there are.
        count: usize,
        /// What their names begin with.
        found: String,
    },

    /// The same name stands for two tensors.
    #[error("{path}: duplicate tensor {tensor}: found {places}; expected one", path = path.display())]
    DuplicateTensor {
        /// The file or index.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Where it was found.
        places: String,
    },

    /// The bytes of a tensor cannot be read.
    #[error("{path}: tensor {tensor}: cannot read its values: {reason}; download the file again", path = path.display())]
    TensorData {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong with them.
        reason: String,
    },

    /// A tensor that the architecture needs is absent.
    #[error(
        "{path}: missing tensor {tensor} (also looked for {alternatives}); \
         tensors that are there: {tensors}",
        path = path.display()
    )]
    MissingTensor {
        /// The checkpoint.
        path: PathBuf,
        /// The name that was looked for first.
        tensor: String,
        /// The other names that would have been accepted.
        alternatives: String,
        /// How many tensors there are.
        tensors: usize,
    },

    /// A tensor has an element type that is not read as f32.
    #[error(
        "{path}: tensor {tensor}: unsupported dtype: found {found}; expected F32, F16, BF16 or F64",
        path = path.display()
    )]
    TensorDtype {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its dtype in safetensors' notation.
        found: String,
    },

    /// A tensor's shape disagrees with `config.json`.
    #[error(
        "{path}: tensor {tensor}: wrong shape: found {found:?}; expected {expected:?} from config.json",
        path = path.display()
    )]
    TensorShape {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that `config.json` implies.
        expected: Vec<usize>,
    },

    /// A tensor holds NaN or infinite values.
    #[error(
        "{path}: tensor {tensor}: {count} NaN or infinite values, the first at flat index \
         {first_index}; expected finite weights",
        path = path.display()
    )]
    NonFiniteWeights {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// How many values are not finite.
        count: usize,
        /// Row-major index of the first of them.
        first_index: usize,
    },
}

impl WeightError {
    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            WeightError::NoCheckpoint { .. } | WeightError::MissingShard { .. } => ErrorKind::NotFound,
            WeightError::PickledObject { .. } | WeightError::TensorDtype { .. } => ErrorKind::Unsupported,
            WeightError::CheckpointLength { .. }
            | WeightError::CheckpointHeader { .. }
            | WeightError::TensorOffsets { .. }
            | WeightError::NotWeights { .. }
            | WeightError::TorchFile { .. }
            | WeightError::ShardIndex { .. }
            | WeightError::ShardName { .. }
            | WeightError::ShardTensor { .. }
            | WeightError::SeveralEncoders { .. }
            | WeightError::DuplicateTensor { .. }
            | WeightError::TensorData { .. }
            | WeightError::MissingTensor { .. }
            | WeightError::TensorShape { .. }
            | WeightError::NonFiniteWeights { .. } => ErrorKind::InvalidFile,
        }
    }
}
