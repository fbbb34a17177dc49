//! What all requests share: the models, the threads, the limits.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rayon::ThreadPoolBuildError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};
use crate::key::ApiKeys;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::model::ServedModel;
use crate::prepare::{Input, Prepared, Reading, Usage, check, is_long, prepare};
use crate::schedule::{Output, Pool, PoolOptions, PoolSnapshot, Sequence, Want};

/// Tasks that run on threads that may block, for each thread that computes: their sequences must fill batches.
const TASKS_PER_THREAD: usize = 4;

/// Loads the model of a name again.
pub type Reload = Box<dyn Fn(&str) -> std::result::Result<ServedModel, String> + Send + Sync>;

/// How a server runs.
pub struct ServerOptions {
    /// How many threads compute.
    pub pool: PoolOptions,
    /// What it takes at most.
    pub limits: Limits,
    /// The keys of which requests must give one; empty asks for none.
    pub api_keys: Vec<String>,
    /// How models are loaded again; `None` refuses to.
    pub reload: Option<Reload>,
}

impl Default for ServerOptions {
    /// One instance of one thread for each CPU that the process is granted.
    fn default() -> ServerOptions {
        let instances = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let pool = PoolOptions { instances, threads: 1 };
        ServerOptions { pool, limits: Limits::default(), api_keys: Vec::new(), reload: None }
    }
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is nothing to serve.
    #[error("found no model; expected at least one")]
    NoModel,
    /// Two models of one name.
    #[error("found two models of the name {name:?}; expected different names")]
    SameName {
        /// The name.
        name: String,
    },
    /// A request that is allowed would never find room in the queue.
    #[error("queue: found room for {queue} texts; expected at least the {texts} texts that a request may have")]
    ShortQueue {
        /// Texts of the queue.
        queue: usize,
        /// Texts of a request.
        texts: usize,
    },
    /// The threads.
    #[error("found no threads to compute on: {0}")]
    Threads(#[from] ThreadPoolBuildError),
}

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
    pub fn start(models: Vec<ServedModel>, options: ServerOptions) -> std::result::Result<Arc<Server>, StartError> {
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
            models: RwLock::new(models.into_iter().map(Arc::new).collect()),
            pool,
            limits,
            keys: ApiKeys::new(&api_keys),
            metrics,
            reload,
            reloading: Mutex::new(()),
            is_draining: AtomicBool::new(false),
            tasks: Arc::default(),
            task_permits: Arc::new(Semaphore::new(tasks)),
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

    /// Checks inputs and tokenizes them, on another thread where that takes long. `field` is the name of the inputs in the request.
    pub(crate) async fn prepare(
        &self,
        model: &Arc<ServedModel>,
        field: &'static str,
        inputs: Vec<Input>,
        reading: Reading,
    ) -> Result<Prepared> {
        check(&inputs, field, &self.limits)?;
        if !is_long(&inputs) {
            return prepare(model, &inputs, &reading, &self.limits);
        }
        let (model, limits) = (Arc::clone(model), self.limits);
        let work = tokio::task::spawn_blocking(move || prepare(&model, &inputs, &reading, &limits));
        work.await
            .unwrap_or_else(|_| Err(Error::Tokenizer { reason: "the tokenizer stopped at a contradiction".into() }))
    }

    /// Computes sequences, and waits for the results.
    pub(crate) async fn compute(
        &self,
        model: &Arc<ServedModel>,
        want: Want,
        prepared: Prepared,
    ) -> Result<(Vec<Output>, Usage)> {
        let Prepared { sequences, mut usage, .. } = prepared;
        if want == Want::States && usage.tokens > self.limits.state_tokens {
            let (found, limit) = (usage.tokens.to_string(), self.limits.state_tokens);
            return Err(Error::TooLarge { what: "tokens of a request for states", found, limit });
        }
        let receiver = self.pool.submit(model, want, sequences)?;
        let limit = self.limits.response_time;
        let answer = tokio::time::timeout(limit, receiver).await.map_err(|_| Error::Timeout { limit })?;
        let done = answer.unwrap_or(Err(Error::Draining))?; // the pool dropped the request
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
        let receiver = self.pool.submit(model, want, sequences)?;
        Ok(receiver.blocking_recv().unwrap_or(Err(Error::Draining))?.outputs)
    }
}
