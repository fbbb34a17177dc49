//! The end of the interpreter: calls of other threads are stopped before it takes their Python away.
//!
//! A thread that waits for the GIL of an interpreter that is ending is stopped by Python wherever it is, in the middle of Rust too. So `close` runs at
//! exit, before that: it cancels all calls, waits for them, and lets no new one begin.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use pyo3::prelude::*;

use crate::error;

static CLOSING: AtomicBool = AtomicBool::new(false);
static ACTIVE: AtomicUsize = AtomicUsize::new(0);

/// How long the end of the interpreter waits between two looks at running calls.
const LOOK: Duration = Duration::from_millis(1);

/// Whether the interpreter is ending.
pub(crate) fn is_closing() -> bool {
    CLOSING.load(SeqCst)
}

/// A call that is running.
#[derive(Debug)]
pub(crate) struct Active(());

impl Active {
    /// Counts a call, unless the interpreter is ending.
    pub(crate) fn begin(py: Python<'_>) -> PyResult<Active> {
        ACTIVE.fetch_add(1, SeqCst);
        let active = Active(()); // from here on it is counted down again
        match is_closing() {
            false => Ok(active),
            true => Err(error::new(py, "cancelled", "the interpreter is shutting down")),
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        ACTIVE.fetch_sub(1, SeqCst);
    }
}

/// Cancels all calls and waits until they have ended. Registered with `atexit`.
#[pyfunction]
pub(crate) fn close(py: Python<'_>) {
    CLOSING.store(true, SeqCst);
    py.detach(|| {
        while ACTIVE.load(SeqCst) > 0 {
            std::thread::sleep(LOOK);
        }
    });
}
