//! From the hidden states of a text to its embedding: pooling, and the modules after it.
//!
//! The settings come from the files of sentence-transformers. `modules.json` lists the modules in order: Transformer, Pooling, and then any
//! of Dense, LayerNorm and Normalize. Each module has a folder with its own `config.json`, and with weights where it has some.

mod graph;
mod kind;
mod mode;
mod module;
#[allow(clippy::module_inception)] // the type itself
mod pooling;
mod read;
mod settings;
mod weights;
mod write;

pub use self::mode::PoolingMode;
pub(crate) use self::module::LAYER_NORM_EPSILON;
pub use self::module::{DenseModule, ModuleActivation, NormModule, SentenceModule};
pub use self::pooling::{Pooling, PoolingSource};
pub(crate) use self::read::Modules;
#[cfg(feature = "hub")]
pub(crate) use self::read::module_paths;
pub(crate) use self::write::WrittenModule;
