//! The Open Inference Protocol, version 2, which KServe and Triton have: tensors in, tensors out, in JSON or in the binary extension.
//!
//! | model | inputs | outputs |
//! | --- | --- | --- |
//! | embedding | `text` BYTES `[n]` | `embedding` FP32 `[n, features]` |
//! | classification | `text` BYTES `[n]`, perhaps `pair` BYTES `[n]` | `scores` FP32 `[n, labels]`, `label` BYTES `[n]` |
//! | re-ranking | `query` BYTES `[1]`, `text` BYTES `[n]` | `score` FP32 `[n]` |

mod body;
mod infer;
mod routes;
mod tensor;

pub(crate) use self::routes::routes;
