//! Stopping calls from another thread.

use lacuna::Cancel;

/// Stops the calls that have it in their options.
#[derive(Debug)]
pub struct LacunaCancel {
    pub(crate) cancel: Cancel,
}

/// Makes one. Free it with `lacuna_cancel_free`.
///
/// Threads: any, at any time.
#[unsafe(no_mangle)]
pub extern "C" fn lacuna_cancel_new() -> *mut LacunaCancel {
    Box::into_raw(Box::new(LacunaCancel { cancel: Cancel::new() }))
}

/// Ends running calls at their next encoder layer, and later ones at once, with `LACUNA_STATUS_CANCELLED`. Texts are made into tokens before the first
/// layer, which takes some seconds for millions of words and is not interrupted. Does nothing for NULL.
///
/// Threads: any, also while calls run that have it. It is safe in a signal handler.
///
/// # Safety
/// `cancel` is NULL, or was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_cancel_stop(cancel: *const LacunaCancel) {
    // SAFETY: as the caller says.
    if let Some(cancel) = unsafe { cancel.as_ref() } {
        cancel.cancel.cancel();
    }
}

/// Lets calls run again. Does nothing for NULL.
///
/// Threads: any.
///
/// # Safety
/// `cancel` is NULL, or was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_cancel_reset(cancel: *const LacunaCancel) {
    // SAFETY: as the caller says.
    if let Some(cancel) = unsafe { cancel.as_ref() } {
        cancel.cancel.reset();
    }
}

/// Frees it. Does nothing for NULL.
///
/// Threads: any, once, when no call uses it.
///
/// # Safety
/// `cancel` is NULL, or was not freed, and nothing uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_cancel_free(cancel: *mut LacunaCancel) {
    if !cancel.is_null() {
        // SAFETY: it came from `Box::into_raw`.
        drop(unsafe { Box::from_raw(cancel) });
    }
}
