//! A batch that is computed, and how it ends early: when the clients of all of its requests have gone.

use std::sync::atomic::{AtomicUsize, Ordering};

use lacuna::Cancel;

/// A batch that is computed.
#[derive(Debug)]
pub(crate) struct Running {
    /// Requests in it whose clients wait.
    waiting: AtomicUsize,
    cancel: Cancel,
}

impl Running {
    /// Of so many requests.
    pub(crate) fn new(requests: usize) -> Running {
        Running { waiting: AtomicUsize::new(requests), cancel: Cancel::new() }
    }

    /// The client of one of the requests has gone.
    pub(crate) fn leave(&self) {
        if self.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.cancel.cancel();
        }
    }

    /// Stops the encoder at its next layer once nobody waits.
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_cancelled_when_the_last_client_has_gone() {
        let running = Running::new(2);
        running.leave();
        assert!(!running.cancel().is_cancelled());
        running.leave();
        assert!(running.cancel().is_cancelled());
    }
}
