//! Ctrl-C: once to stop and print what was measured, twice to stop at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lacuna_console::error::{Error, INTERRUPTED, Result};
use lacuna_console::output::say;

/// How often those who wait look.
pub(crate) const POLL: Duration = Duration::from_millis(50);

static WANTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C is a wish, unless it is ignored.
pub(crate) fn listen() -> Result<()> {
    let handler = || {
        if WANTED.swap(true, Ordering::SeqCst) {
            std::process::exit(INTERRUPTED.into());
        }
        say("interrupted: finishing; once more to stop at once");
    };
    match ctrlc::try_set_handler(handler) {
        // Whoever started the command has it ignore Ctrl-C, as `nohup` and shells do for what runs in the background. So be it.
        Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(()),
        Err(error) => Err(Error::Check(format!("cannot listen for Ctrl-C: {error}"))),
    }
}

/// Whether the user wants to stop.
pub(crate) fn wanted() -> bool {
    WANTED.load(Ordering::SeqCst)
}
