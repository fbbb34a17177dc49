//! Ctrl-C: once to stop and print what was measured, twice to stop at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lacuna_console::error::{Error, INTERRUPTED, Result};
use lacuna_console::output::say;

/// How often those who wait look.
pub(crate) const POLL: Duration = Duration::from_millis(50);

static WANTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C is a wish.
pub(crate) fn listen() -> Result<()> {
    let handler = || {
        if WANTED.swap(true, Ordering::SeqCst) {
            std::process::exit(INTERRUPTED.into());
        }
        say("interrupted: finishing; once more to stop at once");
    };
    ctrlc::try_set_handler(handler).map_err(|error| Error::Check(format!("cannot listen for Ctrl-C: {error}")))
}

/// Whether the user wants to stop.
pub(crate) fn wanted() -> bool {
    WANTED.load(Ordering::SeqCst)
}
