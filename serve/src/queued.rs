//! An encoder whose sequences go through the queue, for tasks that read texts in windows: tagging, answering, filling in.
//!
//! Such a task runs on a thread that may block. Its sequences share batches with those of all other requests.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lacuna::config::{EncoderConfig, Pooling, Prompts};
use lacuna::tasks::Backbone;
use lacuna::tokens::{SentenceTokenizer, TypedIds};
use lacuna::weights::Matrix;

use crate::error::{Error, Result};
use crate::model::ServedModel;
use crate::prepare::Usage;
use crate::schedule::{Output, Sequence, Want};
use crate::server::Server;

/// The encoder of a model, behind the queue.
#[derive(Debug)]
struct Queued {
    server: Arc<Server>,
    model: Arc<ServedModel>,
    /// Set when the client has gone.
    is_abandoned: Arc<AtomicBool>,
    tokens: AtomicUsize,
    /// Why the queue gave no result, which an error of the library cannot say.
    failure: Mutex<Option<Error>>,
}

impl Queued {
    fn compute(&self, batch: &[TypedIds<'_>], want: Want) -> lacuna::Result<Vec<Output>> {
        let sequence = |typed: &TypedIds<'_>| Sequence { ids: typed.ids.to_vec(), types: Some(typed.types.to_vec()) };
        self.tokens.fetch_add(batch.iter().map(|typed| typed.ids.len()).sum(), Ordering::Relaxed);
        if self.is_abandoned.load(Ordering::Relaxed) {
            return Err(lacuna::Error::Cancelled);
        }
        self.server.compute_blocking(&self.model, want, batch.iter().map(sequence).collect()).map_err(|error| {
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            lacuna::Error::Cancelled
        })
    }
}

impl Backbone for Queued {
    fn config(&self) -> &EncoderConfig {
        self.model.encoder().config()
    }

    fn tokenizer(&self) -> Option<&SentenceTokenizer> {
        self.model.encoder().tokenizer()
    }

    fn hidden_states(&self, batch: &[TypedIds<'_>]) -> lacuna::Result<Vec<Matrix>> {
        Ok(self.compute(batch, Want::States)?.into_iter().map(Output::matrix).collect())
    }

    fn pooling(&self) -> &Pooling {
        self.model.encoder().pooling()
    }

    fn prompts(&self) -> &Prompts {
        self.model.encoder().prompts()
    }

    fn embed_ids(&self, batch: &[TypedIds<'_>], prompt: usize) -> lacuna::Result<Vec<Vec<f32>>> {
        Ok(self.compute(batch, Want::Vector { prompt })?.into_iter().map(Output::values).collect())
    }
}

/// Tells a task that its client has gone.
struct Watch(Arc<AtomicBool>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a task on the encoder behind the queue, on a thread that may block.
///
/// # Errors
/// [`Error::Overloaded`] if too many tasks wait for such a thread; [`Error::Timeout`]; those of the task.
pub(crate) async fn run<T: Send + 'static>(
    server: &Arc<Server>,
    model: &Arc<ServedModel>,
    task: impl FnOnce(Arc<dyn Backbone>) -> lacuna::Result<T> + Send + 'static,
) -> Result<(T, Usage)> {
    let mut usage = Usage::begin();
    let limit = server.limits().response_time;
    let place = server.enter_task()?;
    let permit = tokio::time::timeout(limit, server.task_permit()).await.map_err(|_| Error::Timeout { limit })??;
    usage.waited = usage.started.elapsed();
    let is_abandoned = Arc::new(AtomicBool::new(false));
    let watch = Watch(Arc::clone(&is_abandoned));
    let queued = Arc::new(Queued {
        server: Arc::clone(server),
        model: Arc::clone(model),
        is_abandoned,
        tokens: AtomicUsize::new(0),
        failure: Mutex::new(None),
    });
    let backbone = Arc::clone(&queued);
    let work = tokio::task::spawn_blocking(move || {
        let _held = (place, permit);
        task(backbone)
    });
    let result = tokio::time::timeout(limit, work).await.map_err(|_| Error::Timeout { limit })?;
    drop(watch);
    usage.tokens = queued.tokens.load(Ordering::Relaxed);
    usage.computed = usage.started.elapsed() - usage.waited;
    server.metrics().inference(usage.waited, usage.computed);
    let failure = queued.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (failure, result) {
        (Some(error), _) => Err(error),
        (None, Ok(result)) => Ok((result?, usage)),
        (None, Err(_)) => Err(Error::backend("the task stopped at a contradiction; please report this")),
    }
}
