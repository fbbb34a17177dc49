//! The threads that compute batches.
//!
//! An instance computes one batch at a time, on threads of its own. All instances serve all models.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lacuna::Cancel;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use super::options::{PoolOptions, PoolSnapshot};
use super::queue::Queue;
use super::running::Running;
use super::work::{Answer, Batch, Item, Output, Sequence, Want};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::model::ServedModel;

/// Tokens that keep one thread busy: more of them in a batch make it no faster per token.
const THREAD_TOKENS: usize = 512;
/// Tokens whose hidden states are kept at a time where only logits are wanted.
const KEPT_TOKENS: usize = 4096;
/// How much a batch counts in the mean speed.
const RATE_WEIGHT: f64 = 0.1;
/// Tokens per second before anything was measured.
const FIRST_RATE: f64 = 50_000.0;

/// The queue, and the instances that empty it.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    /// One for each instance.
    instances: Mutex<Vec<ThreadPool>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    options: PoolOptions,
    limits: Limits,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// Places for texts that are admitted and not yet tokenized.
    reserved: usize,
    running: usize,
    /// Tokens per second of all instances together.
    rate: f64,
    is_stopping: bool,
}

impl Pool {
    /// Starts the instances.
    pub(crate) fn start(
        options: PoolOptions,
        limits: Limits,
        metrics: Arc<Metrics>,
    ) -> Result<Pool, ThreadPoolBuildError> {
        let state = State { queue: Queue::default(), reserved: 0, running: 0, rate: FIRST_RATE, is_stopping: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), options, limits, metrics });
        let start = |instance: usize| {
            let name = move |thread| format!("lacuna-{instance}.{thread}");
            let pool = ThreadPoolBuilder::new().num_threads(options.threads.max(1)).thread_name(name).build()?;
            let shared = Arc::clone(&shared);
            pool.spawn(move || shared.work()); // this thread leads; the calls inside recruit the others of the pool
            Ok(pool)
        };
        let instances = (0..options.instances.max(1)).map(start).collect::<Result<_, _>>()?;
        Ok(Pool { shared, instances: Mutex::new(instances) })
    }

    /// Admits so many texts: they have places in the queue from now on. A request is admitted before it is tokenized, so that one that is
    /// refused costs nothing.
    ///
    /// # Errors
    /// [`Error::Overloaded`]; [`Error::Draining`] after [`Pool::stop`].
    pub(crate) fn reserve(&self, texts: usize) -> Result<Places> {
        let mut state = self.shared.lock();
        if state.is_stopping {
            return Err(Error::Draining);
        }
        let limit = self.shared.limits.queue;
        if state.taken() + texts > limit {
            let dropped = state.queue.drop_abandoned();
            self.shared.metrics.abandoned.inc_by(dropped as u64);
        }
        let waiting = state.taken();
        if waiting + texts > limit {
            let retry = Duration::from_secs_f64(state.queue.tokens() as f64 / state.rate);
            return Err(Error::Overloaded { waiting, asked: texts, limit, retry });
        }
        state.reserved += texts;
        Ok(Places { shared: Arc::clone(&self.shared), texts })
    }

    /// Puts the sequences of a request into their places.
    ///
    /// # Errors
    /// [`Error::Draining`] after [`Pool::stop`].
    pub(crate) fn submit(
        &self,
        places: Places,
        model: &Arc<ServedModel>,
        want: Want,
        sequences: Vec<Sequence>,
    ) -> Result<Answer> {
        let asked = sequences.len();
        let (answer, ticket) = Answer::new(asked);
        let Some(ticket) = ticket else { return Ok(answer) };
        let mut state = self.shared.lock();
        if state.is_stopping {
            return Err(Error::Draining);
        }
        state.queue.push(Arc::clone(model), want, sequences, ticket);
        drop(state);
        drop(places); // for a moment the texts count twice, never not at all
        match asked {
            1 => self.shared.changed.notify_one(),
            _ => self.shared.changed.notify_all(),
        }
        Ok(answer)
    }

    /// What happens now.
    pub(crate) fn snapshot(&self) -> PoolSnapshot {
        let state = self.shared.lock();
        let (waiting, waiting_tokens) = (state.taken(), state.queue.tokens());
        PoolSnapshot { waiting, waiting_tokens, running: state.running }
    }

    /// The threads that compute.
    pub(crate) fn options(&self) -> PoolOptions {
        self.shared.options
    }

    /// Ends the instances after their batches. What still waits fails.
    pub(crate) fn stop(&self) {
        let mut state = self.shared.lock();
        state.is_stopping = true;
        state.queue.fail(&Error::Draining);
        drop(state);
        self.shared.changed.notify_all();
        self.instances.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl State {
    /// Texts that have a place in the queue.
    fn taken(&self) -> usize {
        self.queue.sequences() + self.reserved
    }
}

/// Places in the queue for texts that are not there yet. They are free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Places {
    shared: Arc<Shared>,
    texts: usize,
}

impl Drop for Places {
    fn drop(&mut self) {
        self.shared.lock().reserved -= self.texts;
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One instance: batch after batch until the pool stops.
    fn work(&self) {
        while let Some(batch) = self.next() {
            let started = Instant::now();
            let tokens = batch.tokens;
            self.metrics.batch(batch.items.len(), tokens);
            let tickets = batch.tickets();
            let running = Arc::new(Running::new(tickets.len()));
            tickets.iter().for_each(|ticket| ticket.start(&running));
            if !run(batch, running.cancel()) {
                self.metrics.cancelled.inc();
            }
            tickets.iter().for_each(|ticket| ticket.end(&running));
            let rate = tokens as f64 / started.elapsed().as_secs_f64().max(1e-9) * self.options.instances as f64;
            let mut state = self.lock();
            state.running -= 1;
            state.rate += RATE_WEIGHT * (rate - state.rate);
        }
    }

    /// Waits for the next batch; none once the pool stops.
    fn next(&self) -> Option<Batch> {
        let mut state = self.lock();
        loop {
            if state.is_stopping {
                return None;
            }
            self.metrics.abandoned.inc_by(state.queue.drop_abandoned() as u64);
            // All instances get a part of what waits, unless it is too little to share.
            let share = state.queue.tokens().div_ceil(self.options.instances);
            let budget = share.max(THREAD_TOKENS * self.options.threads).min(self.limits.batch_tokens);
            if let Some(batch) = state.queue.take(budget) {
                state.running += 1;
                return Some(batch);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Computes a batch, and gives every request its results. If that fails, its sequences are computed one by one, so that only those
/// with an error fail. Gives whether it was computed: a batch that nobody waits for any more is stopped.
fn run(batch: Batch, cancel: &Cancel) -> bool {
    let Batch { model, want, items, .. } = batch;
    match guarded(&model, want, &items, cancel) {
        Ok(outputs) => {
            items.iter().zip(outputs).for_each(|(item, output)| item.ticket.put(item.index, output));
        }
        Err(_) if cancel.is_cancelled() => return false,
        Err(error) if items.len() == 1 => items.iter().for_each(|item| item.ticket.fail(&error)),
        Err(_) => {
            for item in &items {
                match guarded(&model, want, std::slice::from_ref(item), cancel) {
                    Ok(outputs) => outputs.into_iter().for_each(|output| item.ticket.put(item.index, output)),
                    Err(error) => item.ticket.fail(&error),
                }
            }
        }
    }
    true
}

/// Computes, and makes an error of a panic: an instance outlives it.
fn guarded(model: &ServedModel, want: Want, items: &[Item], cancel: &Cancel) -> Result<Vec<Output>> {
    let computed = catch_unwind(AssertUnwindSafe(|| compute(model, want, items, cancel)));
    computed.unwrap_or_else(|_| {
        tracing::error!(model = model.name(), sequences = items.len(), "a panic while computing a batch");
        Err(Error::backend("the model stopped at a contradiction; please report this"))
    })
}

fn compute(model: &ServedModel, want: Want, items: &[Item], cancel: &Cancel) -> Result<Vec<Output>> {
    let session = model.encoder().session().with_cancel(cancel.clone());
    match want {
        Want::Vector { prompt } => {
            Ok(session.embed_prompted_ids(items, prompt)?.into_iter().map(Output::Vector).collect())
        }
        Want::States => Ok(session.hidden_states(items)?.into_iter().map(Output::Matrix).collect()),
        Want::Logits => {
            let head = model.head().ok_or_else(|| Error::backend("the model has no head"))?;
            let mut outputs = Vec::with_capacity(items.len());
            let mut rest = items;
            while !rest.is_empty() {
                let mut tokens = 0;
                let fits = |item: &&Item| {
                    tokens += item.sequence.ids.len();
                    tokens <= KEPT_TOKENS
                };
                let (now, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
                for states in session.hidden_states(now)? {
                    outputs.push(Output::Matrix(head.logits(&states)?));
                }
                rest = later;
            }
            Ok(outputs)
        }
    }
}
