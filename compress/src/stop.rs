//! Ending a run early.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// A wish that may come while a run goes on, and what follows it.
#[derive(Debug, Clone, Copy)]
pub struct Stop<'a> {
    wish: &'a AtomicBool,
    keeps: bool,
}

impl<'a> Stop<'a> {
    /// When `wish` is set, the training ends, and the result is what was learned by then. The checkpoint stays.
    pub fn keeping(wish: &'a AtomicBool) -> Stop<'a> {
        Stop { wish, keeps: true }
    }

    /// When `wish` is set, the run ends with [`Error::Stopped`] and writes no result. The checkpoint of a training that has begun stays.
    pub fn abandoning(wish: &'a AtomicBool) -> Stop<'a> {
        Stop { wish, keeps: false }
    }

    /// Never.
    pub fn never() -> Stop<'static> {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Stop { wish: &NEVER, keeps: true }
    }

    /// The wish, for those who look at it themselves.
    pub(crate) fn wish(self) -> &'a AtomicBool {
        self.wish
    }

    /// Whether the run is to be abandoned.
    fn is_abandoned(self) -> bool {
        !self.keeps && self.wish.load(Ordering::Relaxed)
    }

    /// What work that can be ended is told.
    pub(crate) fn flow(self) -> ControlFlow<()> {
        if self.is_abandoned() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// # Errors
    /// [`Error::Stopped`] if the run is to be abandoned.
    pub(crate) fn check(self) -> Result<()> {
        if self.is_abandoned() { Err(Error::Stopped) } else { Ok(()) }
    }
}
