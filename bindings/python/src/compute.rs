//! What a model computes with: int8 kernels that are generated for this machine, or the f32 reference.

use std::sync::Arc;

use lacuna::errors::ModelError;
use lacuna::tasks::Backbone;
use lacuna::tokens::{TokenIds, TypedIds};
use lacuna::weights::Matrix;
use lacuna::{Cancel, Model, Session};
use pyo3::prelude::*;
use pythonize::pythonize;
use serde_json::json;

use crate::call::check;
use crate::embed::moved;
use crate::error;

/// Tokens for each thread between two looks at [`Cancel`] in f32: about a second of a BERT-base.
const TOKENS_PER_THREAD: usize = 256;

const INT8: &str = "int8";
const FLOAT32: &str = "float32";

/// Whether a value of the option `compute` is float32.
pub(crate) fn is_float32(py: Python<'_>, name: &str) -> PyResult<bool> {
    match name {
        INT8 => Ok(false),
        FLOAT32 => Ok(true),
        other => Err(error::option(py, "compute", other, "int8 or float32")),
    }
}

/// An encoder, ready to run.
#[derive(Clone)]
pub(crate) enum Compute {
    /// Compiled for this machine.
    Int8(Arc<lacuna::Encoder>),
    /// The weights as they were read.
    Float32(Arc<Model>),
}

impl Compute {
    /// As the option has it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Compute::Int8(_) => INT8,
            Compute::Float32(_) => FLOAT32,
        }
    }

    /// What both have: shape, tokenizer, pooling, prompts.
    pub(crate) fn backbone(&self) -> &dyn Backbone {
        match self {
            Compute::Int8(encoder) => &**encoder,
            Compute::Float32(model) => &**model,
        }
    }

    /// A user whose calls `cancel` stops.
    pub(crate) fn user(&self, cancel: Cancel) -> User {
        match self {
            Compute::Int8(encoder) => User::Int8(Box::new(encoder.session().with_cancel(cancel))),
            Compute::Float32(model) => User::Float32(Float32User { model: Arc::clone(model), cancel }),
        }
    }

    /// How the encoder was loaded.
    pub(crate) fn report<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let model = match self {
            Compute::Int8(encoder) => return Ok(pythonize(py, encoder.report())?),
            Compute::Float32(model) => model,
        };
        let config = model.config();
        let report = json!({
            "architecture": config.architecture.name(),
            "layers": config.layers,
            "hidden_size": config.hidden_size,
            "heads": config.heads,
            "activation": config.activation.name(),
            "compute": FLOAT32,
            "phases": [{"name": "read", "milliseconds": model.timings().read.as_secs_f64() * 1e3}],
        });
        Ok(pythonize(py, &report)?)
    }

    /// The same as a text.
    pub(crate) fn report_text(&self) -> String {
        let model = match self {
            Compute::Int8(encoder) => return encoder.report().to_string(),
            Compute::Float32(model) => model,
        };
        let config = model.config();
        let (architecture, activation) = (config.architecture, config.activation);
        let read = model.timings().read.as_secs_f64() * 1e3;
        format!(
            "{:<12} {architecture}, {} layers, {} features, {} heads, {activation}\n{:<12} {FLOAT32}, not compiled\n{:<12} {read:.1} ms\n",
            "model", config.layers, config.hidden_size, config.heads, "compute", "load"
        )
    }
}

/// A user of an encoder whose calls can be cancelled.
#[derive(Debug)]
pub(crate) enum User {
    Int8(Box<Session>),
    Float32(Float32User),
}

impl User {
    /// What stops it.
    pub(crate) fn cancel(&self) -> &Cancel {
        match self {
            User::Int8(session) => session.cancel(),
            User::Float32(user) => &user.cancel,
        }
    }

    /// Writes an embedding per sequence to `out`. The first `prompt` tokens of each are a prompt.
    pub(crate) fn embed_into(&self, ids: &[Vec<u32>], prompt: usize, out: &mut [f32]) -> lacuna::Result<()> {
        let vectors = match self {
            User::Int8(session) if prompt == 0 || session.encoder().pooling().include_prompt => {
                return session.embed_ids_into(ids, out);
            }
            User::Int8(session) => session.embed_prompted_ids(ids, prompt)?,
            User::Float32(user) => user.embed(ids, prompt)?,
        };
        out.chunks_mut(self.features()).zip(&vectors).for_each(|(out, vector)| out.copy_from_slice(vector));
        Ok(())
    }

    /// The hidden states of every sequence.
    pub(crate) fn states<S: TokenIds>(&self, ids: &[S]) -> lacuna::Result<Vec<Matrix>> {
        match self {
            User::Int8(session) => session.hidden_states(ids),
            User::Float32(user) => user.states(ids),
        }
    }

    fn inner(&self) -> &dyn Backbone {
        match self {
            User::Int8(session) => &**session,
            User::Float32(user) => &*user.model,
        }
    }
}

/// For the tasks of the library.
impl Backbone for User {
    fn config(&self) -> &lacuna::config::EncoderConfig {
        self.inner().config()
    }

    fn tokenizer(&self) -> Option<&lacuna::tokens::SentenceTokenizer> {
        self.inner().tokenizer()
    }

    fn hidden_states(&self, batch: &[TypedIds<'_>]) -> lacuna::Result<Vec<Matrix>> {
        self.states(batch)
    }

    fn pooling(&self) -> &lacuna::config::Pooling {
        self.inner().pooling()
    }

    fn prompts(&self) -> &lacuna::config::Prompts {
        self.inner().prompts()
    }

    fn embed_ids(&self, batch: &[TypedIds<'_>], prompt: usize) -> lacuna::Result<Vec<Vec<f32>>> {
        match self {
            User::Int8(session) => session.embed_prompted_ids(batch, prompt),
            User::Float32(user) => user.embed(batch, prompt),
        }
    }
}

/// A user of the f32 reference. The reference itself cannot be stopped, so sequences go through it some at a time.
#[derive(Debug)]
pub(crate) struct Float32User {
    model: Arc<Model>,
    cancel: Cancel,
}

impl Float32User {
    fn states<S: TokenIds>(&self, batch: &[S]) -> lacuna::Result<Vec<Matrix>> {
        self.parts(batch, |part| Ok(self.model.reference().forward(part)?))
    }

    fn embed<S: TokenIds>(&self, batch: &[S], prompt: usize) -> lacuna::Result<Vec<Vec<f32>>> {
        self.parts(batch, |part| Ok(self.model.reference().embed_prompted(part, self.model.pooling(), prompt)?))
    }

    /// Runs `work` on parts of the batch.
    fn parts<S: TokenIds, T>(
        &self,
        batch: &[S],
        work: impl Fn(&[S]) -> lacuna::Result<Vec<T>>,
    ) -> lacuna::Result<Vec<T>> {
        if batch.is_empty() {
            return Err(ModelError::EmptyBatch.into());
        }
        let most = TOKENS_PER_THREAD * rayon::current_num_threads();
        let mut results = Vec::with_capacity(batch.len());
        while results.len() < batch.len() {
            check(&self.cancel)?;
            let (start, mut tokens) = (results.len(), 0);
            let fits = |sequence: &&S| {
                tokens += sequence.ids().len();
                tokens <= most
            };
            let length = batch[start..].iter().take_while(fits).count().max(1);
            results.extend(work(&batch[start..start + length]).map_err(|error| moved(error, start))?);
        }
        Ok(results)
    }
}
