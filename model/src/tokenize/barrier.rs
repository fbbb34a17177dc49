//! A panic of the tokenizers library becomes a value.
//!
//! The library panics on some damaged files, and on some texts with a file that is contradictory. Its state is only read
//! meanwhile, so nothing is left half-done. In programs that are built with `panic = "abort"` this has no effect.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is expected, and goes unreported.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Calls `call`; `None` if it panics. The panic is not reported on standard error.
///
/// `call` must leave nothing behind that a panic may have left in disorder, and must not run tasks of other threads.
pub(super) fn guarded<T>(call: impl FnOnce() -> T) -> Option<T> {
    install();
    let before = EXPECTED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    EXPECTED.set(before);
    result.ok()
}

/// Puts a hook before the one there is, which it calls for all panics but those that are expected in their thread.
fn install() {
    static INSTALLED: Once = Once::new();
    // The hook cannot be changed by a thread that panics.
    if INSTALLED.is_completed() || std::thread::panicking() {
        return;
    }
    INSTALLED.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |panic| {
            // A thread that ends has no value any more.
            if !EXPECTED.try_with(Cell::get).unwrap_or(false) {
                others(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_values_and_others_stay_panics() {
        assert_eq!(guarded(|| 1), Some(1));
        assert_eq!(guarded(|| -> u32 { panic!("unseen") }), None);
        assert_eq!(guarded(|| guarded(|| -> u32 { panic!("unseen") })), Some(None));
        assert!(!EXPECTED.get(), "later panics of this thread are reported");
    }
}
