//! Ctrl-C: once to stop and keep what there is, twice to stop at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::{Error, INTERRUPTED, Result};
use crate::remarks::say;

/// How often those who wait look.
pub const POLL: Duration = Duration::from_millis(50);

static WANTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C is a wish, unless it is ignored. `doing` says what follows the wish, as in `finishing`.
///
/// # Errors
/// [`Error::Check`] if the system does not let the process listen.
pub fn listen(doing: &'static str) -> Result<()> {
    let handler = move || {
        if WANTED.swap(true, Ordering::SeqCst) {
            std::process::exit(INTERRUPTED.into());
        }
        say(format_args!("interrupted: {doing}; once more to stop at once"));
    };
    match ctrlc::try_set_handler(handler) {
        // Whoever started the command has it ignore Ctrl-C, as `nohup` and shells do for what runs in the background. So be it.
        Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(()),
        Err(error) => Err(Error::Check(format!("cannot listen for Ctrl-C: {error}"))),
    }
}

/// Whether the user wants to stop.
pub fn wanted() -> bool {
    WANTED.load(Ordering::SeqCst)
}

/// The wish, for those who look at a flag.
pub fn flag() -> &'static AtomicBool {
    &WANTED
}
