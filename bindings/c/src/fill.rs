//! Candidates for masks in texts.

use std::ffi::{CString, c_char};

use lacuna::heads::HeadKind;
use lacuna::tasks::MaskFiller;

use crate::args::{self, LacunaText, Options};
use crate::call::run_with_head;
use crate::cancel::LacunaCancel;
use crate::encoder::LacunaEncoder;
use crate::status::{LacunaStatus, guard};
use crate::strings::c_string;

/// A candidate for a mask.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct LacunaFilling {
    /// Index of the text.
    pub text: usize,
    /// First byte of the mask in the text, without blanks that the token takes in.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
    /// What the token stands for, with the blank before it where the vocabulary has one. It lives as long as the fillings. A NUL in it is
    /// replaced by U+FFFD.
    pub token: *const c_char,
    /// Index of the token in the vocabulary.
    pub id: u32,
    /// Softmax over the vocabulary.
    pub score: f32,
    /// What the score is made of.
    pub logit: f32,
}

/// The candidates for the masks of some texts.
#[derive(Debug)]
pub struct LacunaFillings {
    fillings: Vec<LacunaFilling>,
    /// What the tokens of the fillings point to.
    _tokens: Vec<CString>,
}

/// Options of `lacuna_fill`. Set `size` to sizeof(LacunaFillOptions) and the rest to zero for the defaults.
#[repr(C)]
#[derive(Debug)]
pub struct LacunaFillOptions {
    /// sizeof(LacunaFillOptions).
    pub size: usize,
    /// Stops the call from another thread; NULL if nothing does.
    pub cancel: *const LacunaCancel,
    /// Candidates per mask; 0 for 5.
    pub top_k: usize,
}

// SAFETY: `repr(C)` with its size at the beginning; numbers and pointers only.
unsafe impl Options for LacunaFillOptions {
    const NAME: &'static str = "LacunaFillOptions";
    const FIRST: usize = size_of::<Self>();
}

/// Finds candidates for every mask of every text, the most probable first, in the order of the texts and of their masks. The model needs a head for masked
/// tokens. `*fillings` are the candidates, or NULL after an error. Free them with `lacuna_fillings_free`.
///
/// `options` may be NULL. Threads: any number of calls at the same time.
///
/// # Safety
/// Pointers are NULL, or point to what the names say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_fill(
    encoder: *const LacunaEncoder,
    texts: *const LacunaText,
    count: usize,
    options: *const LacunaFillOptions,
    fillings: *mut *mut LacunaFillings,
) -> LacunaStatus {
    guard(|| {
        // SAFETY: as the caller says.
        let (place, texts, options) =
            unsafe { (args::out("fillings", fillings)?, args::texts("texts", texts, count)?, args::options(options)?) };
        let top_k = if options.top_k == 0 { 5 } else { options.top_k };
        // SAFETY: likewise.
        let found = unsafe {
            run_with_head(encoder, options.cancel, HeadKind::MaskedLm, |session, head| {
                Ok(MaskFiller::new(session, head)?.fill(&texts, top_k)?)
            })
        }?;
        let (mut fillings, mut tokens) = (Vec::new(), Vec::new());
        for (text, mask) in found.iter().enumerate().flat_map(|(text, all)| all.iter().map(move |one| (text, one))) {
            for candidate in &mask.candidates {
                let token = c_string(&candidate.token);
                fillings.push(LacunaFilling {
                    text,
                    start: mask.start,
                    end: mask.end,
                    token: token.as_ptr(),
                    id: candidate.id,
                    score: candidate.score,
                    logit: candidate.logit,
                });
                tokens.push(token); // the string itself stays where it is
            }
        }
        *place = Box::into_raw(Box::new(LacunaFillings { fillings, _tokens: tokens }));
        Ok(())
    })
}

/// The candidates as an array, which lives as long as they do, and their number in `*count`. NULL and 0 for NULL. NULL if `count` is NULL.
///
/// Threads: any, at any time.
///
/// # Safety
/// `fillings` is NULL, or was not freed; `count` is NULL, or a place for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_fillings_get(
    fillings: *const LacunaFillings,
    count: *mut usize,
) -> *const LacunaFilling {
    // SAFETY: as the caller says.
    let fillings = unsafe { fillings.as_ref() }.map(|fillings| &fillings.fillings[..]);
    // SAFETY: likewise.
    unsafe { args::list(fillings, count) }
}

/// Frees candidates. Does nothing for NULL.
///
/// Threads: any, once, when nothing uses them.
///
/// # Safety
/// `fillings` is NULL, or was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_fillings_free(fillings: *mut LacunaFillings) {
    if !fillings.is_null() {
        // SAFETY: they came from `Box::into_raw`.
        drop(unsafe { Box::from_raw(fillings) });
    }
}
