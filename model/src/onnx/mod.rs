//! Graphs in: from an ONNX file to the weights of an encoder.
//!
//! The computation of a graph decides what its constants are. Names only tell its inputs apart. Tracing goes from the last
//! layer normalisation back to the embeddings:
//!
//! ```text
//! norm(down(f(up(x))) + x)        x = norm(o(softmax(q(h) k(h)^T / sqrt(d) + mask) v(h)) + h)        h: the layer before, or
//! norm(word[id] + position[n] + token_type[type]), projected in ELECTRA
//! ```
//!
//! Every step names the node where it stops. Everything found is compared with `config.json`. Then the graph is run on a few sample tokens,
//! and what it computes is compared with what the weights that were read compute: see [`run`] and [`verify`]. Time and memory are bounded by
//! the size of the file.

mod activation;
mod attention;
mod bounds;
mod chain;
mod constant;
mod counts;
mod embeddings;
mod expand;
mod file;
mod fold;
mod found;
mod functions;
mod graph;
mod heads;
mod mask;
mod node;
mod norm;
mod open;
mod outputs;
mod pooled;
mod product;
mod run;
mod sample;
mod shape;
mod tensor;
mod trace;
mod verify;

#[cfg(feature = "hub")]
pub(crate) use self::file::external_files;
pub(crate) use self::open::OnnxGraph;
pub(crate) use self::outputs::Outputs;
pub(crate) use self::trace::Read;
