//! What all requests share: the models, the threads, the limits.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};
use crate::key::ApiKeys;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::model::ServedModel;
use crate::options::{Reload, ServerOptions, StartError};
use crate::prepare::{Input, Prepared, Reading, Usage, check, is_long, prepare};
use crate::schedule::{Output, Pool, PoolOptions, PoolSnapshot, Sequence, Want};

/// Tasks that run on threads that may block, for each thread that computes: their sequences must fill batches.
const TASKS_PER_THREAD: usize = 4;

/// A server: what [`router`](crate::router) needs.
pub struct Server {
    /// The first is the default.
    models: RwLock<Vec<Arc<ServedModel>>>,
    pool: Pool,
    limits: Limits,
    keys: ApiKeys,
    metrics: Arc<Metrics>,
    reload: Option<Reload>,
    /// One reload at a time.
    reloading: Mutex<()>,
    is_draining: AtomicBool,
    /// Tasks that run or wait.
    tasks: Arc<AtomicUsize>,
    task_permits: Arc<Semaphore>,
    /// Requests with long texts that are tokenized at the same time: as many as threads compute, which bounds the memory.
    long_texts: Arc<Semaphore>,
    requests: AtomicU64,
}

/// A task that runs or waits.
pub(crate) struct TaskPlace(Arc<AtomicUsize>);

impl Drop for TaskPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("limits", &self.limits)
            .field("pool", &self.pool.options())
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Starts the threads that compute. The first model is the one that requests without a name use.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start<M: Into<Arc<ServedModel>>>(
        models: Vec<M>,
        options: ServerOptions,
    ) -> std::result::Result<Arc<Server>, StartError> {
        let models: Vec<Arc<ServedModel>> = models.into_iter().map(Into::into).collect();
        let ServerOptions { pool, limits, api_keys, reload } = options;
        if models.is_empty() {
            return Err(StartError::NoModel);
        }
        for (i, model) in models.iter().enumerate() {
            if models[..i].iter().any(|other| other.name() == model.name()) {
                return Err(StartError::SameName { name: model.name().to_owned() });
            }
        }
        if limits.queue < limits.request_texts {
            return Err(StartError::ShortQueue { queue: limits.queue, texts: limits.request_texts });
        }
        let metrics = Arc::new(Metrics::new());
        let tasks = TASKS_PER_THREAD * pool.instances.max(1) * pool.threads.max(1);
        let pool = Pool::start(pool, limits, Arc::clone(&metrics))?;
        Ok(Arc::new(Server {
            models: RwLock::new(models),
            pool,
            limits,
            keys: ApiKeys::new(&api_keys),
            metrics,
            reload,
            reloading: Mutex::new(()),
            is_draining: AtomicBool::new(false),
            tasks: Arc::default(),
            task_permits: Arc::new(Semaphore::new(tasks)),
            long_texts: Arc::new(Semaphore::new(tasks / TASKS_PER_THREAD)),
            requests: AtomicU64::new(1),
        }))
    }

    /// The models, the default one first.
    pub fn models(&self) -> Vec<Arc<ServedModel>> {
        self.models.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The model of a name; without one the default.
    ///
    /// # Errors
    /// [`Error::UnknownModel`].
    pub fn model(&self, name: Option<&str>) -> Result<Arc<ServedModel>> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        let found = match name {
            None => models.first(),
            Some(name) => models.iter().find(|model| model.name() == name),
        };
        found.cloned().ok_or_else(|| Error::UnknownModel {
            found: name.unwrap_or_default().to_owned(),
            expected: models.iter().map(|model| model.name()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Loads a model again. The old one serves until the new one is ready, and its memory is given back after its last batch. This call
    /// takes as long as loading: run it on a thread that may block.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], [`Error::Reload`].
    pub fn reload(&self, name: Option<&str>) -> Result<()> {
        let _one = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let name = self.model(name)?.name().to_owned();
        let failed = |reason: String| Error::Reload { reason };
        let load = self.reload.as_ref().ok_or_else(|| failed("this server cannot load models".into()))?;
        let new = Arc::new(load(&name).map_err(failed)?);
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = models.iter_mut().find(|model| model.name() == name) {
            *old = new;
        }
        tracing::info!(model = name, "reloaded");
        Ok(())
    }

    /// From now on `/health` says that the server is not ready. Requests are served as before.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::SeqCst);
    }

    /// Whether [`Server::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst)
    }

    /// Ends the threads that compute. Requests that wait, and later ones, fail.
    pub fn stop(&self) {
        self.drain();
        self.pool.stop();
    }

    /// What it takes at most.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What the threads do now.
    pub fn snapshot(&self) -> PoolSnapshot {
        self.pool.snapshot()
    }

    /// A place for a task.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if as many tasks wait as texts may.
    pub(crate) fn enter_task(&self) -> Result<TaskPlace> {
        let place = TaskPlace(Arc::clone(&self.tasks));
        let (waiting, limit) = (self.tasks.fetch_add(1, Ordering::Relaxed), self.limits.queue);
        match waiting < limit {
            true => Ok(place),
            false => Err(Error::Overloaded { waiting, asked: 1, limit, retry: Duration::from_secs(1) }),
        }
    }

    /// Waits until a task may run.
    pub(crate) async fn task_permit(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.task_permits).acquire_owned().await.map_err(|_| Error::Draining)
    }

    /// A name for a request, different from all others of this server.
    pub(crate) fn next_request_id(&self) -> String {
        format!("lacuna-{:016x}", self.requests.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn keys(&self) -> &ApiKeys {
        &self.keys
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn pool_options(&self) -> PoolOptions {
        self.pool.options()
    }

    /// Checks inputs, admits and tokenizes them, on another thread where that takes long. `field` is the name of the inputs in the request.
    pub(crate) async fn prepare(
        &self,
        model: &Arc<ServedModel>,
        field: &'static str,
        inputs: Vec<Input>,
        reading: Reading,
    ) -> Result<Prepared> {
        check(&inputs, field, &self.limits)?;
        let places = self.pool.reserve(inputs.len())?;
        let (shared, limits, is_long) = (Arc::clone(model), self.limits, is_long(&inputs));
        self.tokenize(is_long, move || prepare(places, &shared, &inputs, &reading, &limits)).await
    }

    /// Tokenizes: long texts on another thread, so that connections are served meanwhile.
    pub(crate) async fn tokenize<T: Send + 'static>(
        &self,
        is_long: bool,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if !is_long {
            return work();
        }
        let permit = Arc::clone(&self.long_texts).acquire_owned().await.map_err(|_| Error::Draining)?;
        let work = tokio::task::spawn_blocking(move || {
            let _held = permit;
            work()
        });
        let stopped = || Error::Tokenizer { reason: "the tokenizer stopped at a contradiction".into() };
        work.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Computes sequences, and waits for the results.
    pub(crate) async fn compute(
        &self,
        model: &Arc<ServedModel>,
        want: Want,
        prepared: Prepared,
    ) -> Result<(Vec<Output>, Usage)> {
        let Prepared { places, sequences, mut usage, .. } = prepared;
        if want == Want::States && usage.tokens > self.limits.state_tokens {
            let (found, limit) = (usage.tokens.to_string(), self.limits.state_tokens);
            return Err(Error::TooLarge { what: "tokens of a request for states", found, limit });
        }
        let answer = self.pool.submit(places, model, want, sequences)?;
        let limit = self.limits.response_time;
        let done = tokio::time::timeout(limit, answer.wait()).await.map_err(|_| Error::Timeout { limit })??;
        (usage.waited, usage.computed) = (done.waited, done.computed);
        self.metrics.inference(done.waited, done.computed);
        Ok((done.outputs, usage))
    }

    /// Computes sequences on a thread that may block.
    pub(crate) fn compute_blocking(
        &self,
        model: &Arc<ServedModel>,
        want: Want,
        sequences: Vec<Sequence>,
    ) -> Result<Vec<Output>> {
        let places = self.pool.reserve(sequences.len())?;
        Ok(self.pool.submit(places, model, want, sequences)?.wait_blocking()?.outputs)
    }
}
