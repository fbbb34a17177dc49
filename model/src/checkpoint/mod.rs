//! Weight files: from named tensors to [`EncoderWeights`].
//!
//! The weights of a folder are looked for in this order, and the first that is there is read:
//!
//! ```text
//! model.safetensors               one file, mapped into memory
//! model.safetensors.index.json    several, and which of them holds which tensor
//! pytorch_model.bin               what torch.save writes, read without running it
//! pytorch_model.bin.index.json    several of those
//! ```
//!
//! Opening checks names, shapes and lengths. After that, only the requested tensors are read and
//! converted into f32, in parallel. Each weight is looked at once on the way, so NaN and infinite values are found for free.

mod convert;
mod encoder;
mod file;
mod header;
mod heads;
mod in_model;
mod layers;
mod locate;
mod mapped;
mod modules;
mod names;
mod prefix;
mod sharded;
mod tensor;
mod tensor_set;
mod tensors;
#[cfg(feature = "torch")]
mod text;
#[cfg(feature = "torch")]
mod torch;

pub(crate) use self::heads::head_tensors;
#[cfg(feature = "onnx")]
pub(crate) use self::locate::open_file;
#[cfg(feature = "hub")]
pub(crate) use self::locate::weight_names;
pub(crate) use self::locate::{WeightPath, graph_config, is_graph};
#[cfg(feature = "hub")]
pub(crate) use self::sharded::names as shard_names;
pub use self::tensor_set::{Checkpoint, TensorInfo};
pub(crate) use self::tensors::{FoundTensor, named_tensors};
