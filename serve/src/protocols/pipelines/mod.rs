//! The pipelines of transformers, as the inference API of Hugging Face has them: `{"inputs": ..., "parameters": {...}}` at
//! `/models/{name}`. What the inputs are and what comes back depends on what the model is for.

mod answer;
mod classify;
mod fill;
mod many;
mod routes;
mod tag;

pub(crate) use self::routes::{routes, run_default};
