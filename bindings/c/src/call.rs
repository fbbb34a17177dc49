//! What all calls of a model have in common: a session that can be stopped, on the threads of its encoder.

use std::mem::MaybeUninit;
use std::sync::Arc;

use lacuna::heads::{Head, HeadKind};
use lacuna::{Session, Truncation};

use crate::args::{self, Options};
use crate::cancel::LacunaCancel;
use crate::encoder::LacunaEncoder;
use crate::status::Result;

/// Options of calls that have no others. Set `size` to sizeof(LacunaCallOptions) and the rest to zero for the defaults.
#[repr(C)]
#[derive(Debug)]
pub struct LacunaCallOptions {
    /// sizeof(LacunaCallOptions).
    pub size: usize,
    /// Stops the call from another thread; NULL if nothing does.
    pub cancel: *const LacunaCancel,
}

// SAFETY: `repr(C)` with its size at the beginning; numbers and pointers only.
unsafe impl Options for LacunaCallOptions {
    const NAME: &'static str = "LacunaCallOptions";
    const FIRST: usize = size_of::<Self>();
}

/// A session on the encoder, stopped by `cancel`.
///
/// # Safety
/// `cancel` is NULL, or was not freed.
unsafe fn session(encoder: &LacunaEncoder, cancel: *const LacunaCancel) -> Result<Arc<Session>> {
    let session = encoder.encoder()?.session();
    // SAFETY: as the caller says.
    let cancel = unsafe { cancel.as_ref() };
    Ok(Arc::new(match cancel {
        Some(cancel) => session.with_cancel(cancel.cancel.clone()),
        None => session,
    }))
}

/// Runs `work` on a session, on the threads of the encoder.
///
/// # Safety
/// `encoder` and `cancel` are NULL, or were not freed.
pub(crate) unsafe fn run<T: Send>(
    encoder: *const LacunaEncoder,
    cancel: *const LacunaCancel,
    work: impl FnOnce(Arc<Session>) -> Result<T> + Send,
) -> Result<T> {
    // SAFETY: as the caller says.
    let encoder = unsafe { args::handle("encoder", encoder) }?;
    // SAFETY: likewise.
    let session = unsafe { session(encoder, cancel) }?;
    encoder.threads().run(|| work(session))
}

/// The same for a model with a head of a kind.
///
/// # Safety
/// Likewise.
pub(crate) unsafe fn run_with_head<T: Send>(
    encoder: *const LacunaEncoder,
    cancel: *const LacunaCancel,
    kind: HeadKind,
    work: impl FnOnce(Arc<Session>, Arc<Head>) -> Result<T> + Send,
) -> Result<T> {
    // SAFETY: as the caller says.
    let head = unsafe { args::handle("encoder", encoder) }?.head(kind)?;
    // SAFETY: likewise.
    unsafe { run(encoder, cancel, |session| work(session, head)) }
}

/// Writes how many tokens of each input were left out. Inputs that were read whole have 0.
pub(crate) fn write_cut(cut: Option<&mut [MaybeUninit<usize>]>, truncated: &[Truncation]) {
    let Some(cut) = cut else { return };
    for cut in cut.iter_mut() {
        cut.write(0);
    }
    for truncation in truncated {
        if let Some(cut) = cut.get_mut(truncation.sentence) {
            cut.write(truncation.tokens.saturating_sub(truncation.limit));
        }
    }
}

/// The caller's place for what [`write_cut`] writes; none for NULL.
///
/// # Safety
/// `cut` is NULL, or has room for `count` values.
pub(crate) unsafe fn cut_room<'a>(cut: *mut usize, count: usize) -> Result<Option<&'a mut [MaybeUninit<usize>]>> {
    // SAFETY: as the caller says.
    (!cut.is_null()).then(|| unsafe { args::room("cut", cut, count, count) }).transpose()
}
