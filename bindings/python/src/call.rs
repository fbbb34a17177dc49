//! Calls that take long: they compute on other threads, while the thread of Python looks after signals and progress.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use lacuna::Cancel;
use pyo3::prelude::*;

use crate::closing::{self, Active};
use crate::error;
use crate::threads::Threads;

/// How often a waiting thread looks for signals, Ctrl-C above all.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// Whether `process`, in which a model was loaded, is not this one.
pub(crate) fn check_fork(py: Python<'_>, process: u32) -> PyResult<()> {
    let now = std::process::id();
    if now == process {
        return Ok(());
    }
    let text = format!(
        "process {now} was forked from process {process}, which had loaded this model; its threads are not in the child. Load the \
         model in the child, or start processes with the method \"spawn\" or \"forkserver\""
    );
    Err(error::new(py, "machine", &text))
}

/// An error if `cancel` stopped the call.
pub(crate) fn check(cancel: &Cancel) -> lacuna::Result<()> {
    if cancel.is_cancelled() { Err(lacuna::Error::Cancelled) } else { Ok(()) }
}

/// Runs `work` on this thread, without the GIL: for work that is done before anyone would press Ctrl-C.
pub(crate) fn inline<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    let active = Active::begin(py)?;
    let done = py.detach(work);
    drop(active);
    Ok(done)
}

/// Runs `work` on a thread of the encoder. This thread waits without the GIL. It takes it now and then to run Python's handlers of signals and
/// `look`; if one of them raises, `cancel` stops the work, and what they raised is raised here when the work has ended.
pub(crate) fn beside<T: Send>(
    py: Python<'_>,
    threads: &Threads,
    cancel: &Cancel,
    mut look: impl FnMut(Python<'_>) -> PyResult<()> + Send,
    work: impl FnOnce() -> T + Send,
) -> PyResult<T> {
    let _active = Active::begin(py)?;
    let taken = threads.take(py)?;
    let (done, raised) = py.detach(|| {
        let (mut result, mut raised) = (None, None);
        let ended = Ended::default();
        let job = || {
            let _end = EndOnDrop(&ended);
            result = Some(work());
        };
        let wait = || {
            while !ended.wait(LOOK) {
                if raised.is_some() {
                    continue;
                }
                if closing::is_closing() {
                    cancel.cancel();
                    continue;
                }
                let looked = Python::attach(|py| py.check_signals().and_then(|()| look(py)));
                if let Err(error) = looked {
                    cancel.cancel();
                    raised = Some(error);
                }
            }
        };
        match &taken.pool {
            Some(pool) => pool.in_place_scope(|scope| start_and_wait(scope, job, wait)),
            None => rayon::in_place_scope(|scope| start_and_wait(scope, job, wait)),
        }
        (result, raised)
    });
    match (raised, done) {
        (Some(error), _) => Err(error),
        (None, Some(done)) => Ok(done),
        (None, None) => Err(error::panicked()),
    }
}

/// Stack of the threads of [`apart`]: that of a main thread.
const STACK_BYTES: usize = 8 << 20;

/// Runs `work`, which cannot be stopped in the middle, on a thread of its own. This thread waits without the GIL, and runs Python's handlers of
/// signals now and then. If one of them raises, that is raised at once. The work then ends by itself: it owns what it needs, looks at its [`Cancel`]
/// where it can, and its result is dropped. The end of the interpreter waits for it.
pub(crate) fn apart<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce(&Cancel) -> T + Send + 'static,
) -> PyResult<T> {
    let _active = Active::begin(py)?;
    let (active, cancel, (sender, mut receiver)) = (Active::begin(py)?, Cancel::new(), channel());
    let of_work = cancel.clone();
    let job = move || {
        let _active = active;
        // Nobody receives it after a signal.
        let _ = sender.send(work(&of_work));
    };
    let failed = |error| error::new(py, "machine", &format!("thread: {error}"));
    thread::Builder::new().name("lacuna".into()).stack_size(STACK_BYTES).spawn(job).map_err(failed)?;
    loop {
        let receiver = &mut receiver; // which this thread alone has, so that the closure is Send
        match py.detach(move || receiver.recv_timeout(LOOK)) {
            Ok(done) => return Ok(done),
            Err(RecvTimeoutError::Disconnected) => return Err(error::panicked()),
            Err(RecvTimeoutError::Timeout) if closing::is_closing() => cancel.cancel(),
            Err(RecvTimeoutError::Timeout) => py.check_signals().inspect_err(|_| cancel.cancel())?,
        }
    }
}

/// Starts `job` on a thread of the scope and waits for it on this one.
fn start_and_wait<'s>(scope: &rayon::Scope<'s>, job: impl FnOnce() + Send + 's, wait: impl FnOnce()) {
    scope.spawn(move |_| job());
    wait();
}

/// Whether the work has ended.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    ended: Mutex<bool>,
    changed: Condvar,
}

impl Ended {
    /// Waits for the end, not longer than `limit`, and says whether it was there.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(ended, limit, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Says so when the work ends, in a panic as well.
pub(crate) struct EndOnDrop<'a>(pub(crate) &'a Ended);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
    }
}
