//! Texts to vectors.

use std::ffi::c_char;
use std::sync::Arc;

use lacuna::Session;
use lacuna::config::PromptChoice;
use lacuna::tasks::{Embedder, shorten};

use crate::args::{self, LacunaText, Options};
use crate::call::{cut_room, run, write_cut};
use crate::cancel::LacunaCancel;
use crate::encoder::LacunaEncoder;
use crate::status::{Failed, LacunaStatus, Result, guard};

/// The default prompt of the model, if it has one.
pub const LACUNA_PROMPT_DEFAULT: u32 = 0;
/// No prompt.
pub const LACUNA_PROMPT_NONE: u32 = 1;
/// The prompt of the model that has the name in `prompt`, such as "query".
pub const LACUNA_PROMPT_NAME: u32 = 2;
/// The text in `prompt`.
pub const LACUNA_PROMPT_TEXT: u32 = 3;

/// Options of `lacuna_embed`. Set `size` to sizeof(LacunaEmbedOptions) and the rest to zero for the defaults.
#[repr(C)]
#[derive(Debug)]
pub struct LacunaEmbedOptions {
    /// sizeof(LacunaEmbedOptions).
    pub size: usize,
    /// Stops the call from another thread; NULL if nothing does.
    pub cancel: *const LacunaCancel,
    /// A name or a text, as `prompt_kind` says; else NULL.
    pub prompt: *const c_char,
    /// What is put before every text: one of the constants LACUNA_PROMPT_...
    pub prompt_kind: u32,
    /// 1 to divide every vector by its length, 0 to leave it as the model makes it.
    pub normalize: u32,
    /// The first features to keep; 0 for all. Vectors are cut first, and normalised then.
    pub dimensions: usize,
}

// SAFETY: `repr(C)` with its size at the beginning; numbers and pointers only.
unsafe impl Options for LacunaEmbedOptions {
    const NAME: &'static str = "LacunaEmbedOptions";
    const FIRST: usize = size_of::<Self>();
}

/// The prompt that the options ask for.
///
/// # Safety
/// `options.prompt` is NULL or ends with NUL.
unsafe fn prompt(options: &LacunaEmbedOptions) -> Result<PromptChoice<'_>> {
    // SAFETY: as the caller says.
    let value = unsafe { args::string("prompt", options.prompt) }?;
    let found = || value.map_or("NULL".into(), |value| format!("{value:?}"));
    match (options.prompt_kind, value) {
        (LACUNA_PROMPT_DEFAULT, None) => Ok(PromptChoice::Default),
        (LACUNA_PROMPT_NONE, None) => Ok(PromptChoice::None),
        (LACUNA_PROMPT_NAME, Some(name)) => Ok(PromptChoice::Name(name)),
        (LACUNA_PROMPT_TEXT, Some(text)) => Ok(PromptChoice::Text(text)),
        (LACUNA_PROMPT_DEFAULT | LACUNA_PROMPT_NONE, Some(_)) => {
            Err(Failed::option("prompt", &found(), "NULL, or LACUNA_PROMPT_NAME or LACUNA_PROMPT_TEXT as its kind"))
        }
        (LACUNA_PROMPT_NAME | LACUNA_PROMPT_TEXT, None) => Err(Failed::option("prompt", "NULL", "a string")),
        (kind, _) => Err(Failed::option("prompt_kind", &kind.to_string(), "one of LACUNA_PROMPT_...")),
    }
}

/// Writes one vector per text to `vectors`, row after row: `count` times `lacuna_encoder_features`, or `dimensions` if the options say so.
///
/// `capacity` is the number of floats that `vectors` has room for. `cut` may be NULL; else it has room for `count` numbers and gets, for each text, the
/// tokens that were left out because the text is too long for the model. After an error `vectors` and `cut` are as they were.
///
/// `options` may be NULL. Threads: any number of calls at the same time.
///
/// # Safety
/// Pointers are NULL, or point to what the names say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_embed(
    encoder: *const LacunaEncoder,
    texts: *const LacunaText,
    count: usize,
    options: *const LacunaEmbedOptions,
    vectors: *mut f32,
    capacity: usize,
    cut: *mut usize,
) -> LacunaStatus {
    guard(|| {
        // SAFETY: as the caller says.
        let (handle, texts, options, cut) = unsafe {
            let texts = args::texts("texts", texts, count)?;
            (args::handle("encoder", encoder)?, texts, args::options(options)?, cut_room(cut, count)?)
        };
        let all = handle.encoder()?.features();
        let features = match options.dimensions {
            0 => all,
            some if some <= all => some,
            more => return Err(Failed::option("dimensions", &more.to_string(), &format!("at most {all}"))),
        };
        let normalize = args::flag("normalize", options.normalize)?;
        // SAFETY: as the caller says.
        let prompt = unsafe { prompt(&options) }?;
        // SAFETY: likewise.
        let room = unsafe { args::room("vectors", vectors, capacity, count.saturating_mul(features)) }?;
        let work = |session: Arc<Session>| Ok(Embedder::new(session).embed_prompted(prompt, &texts)?);
        // SAFETY: likewise.
        let mut found = unsafe { run(encoder, options.cancel, work) }?;
        for (row, vector) in room.chunks_exact_mut(features).zip(&mut found.results) {
            if normalize || features < all {
                shorten(vector, features, normalize);
            }
            for (place, value) in row.iter_mut().zip(vector) {
                place.write(*value);
            }
        }
        write_cut(cut, &found.truncated);
        Ok(())
    })
}
