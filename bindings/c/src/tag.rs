//! Labelled spans of texts.

use std::ffi::{CString, c_char};

use lacuna::heads::HeadKind;
use lacuna::tasks::{Aggregation, LabelScheme, TagOptions, TokenClassifier};

use crate::args::{self, LacunaText, Options};
use crate::call::run_with_head;
use crate::cancel::LacunaCancel;
use crate::encoder::LacunaEncoder;
use crate::status::{Failed, LacunaStatus, Result, guard};
use crate::strings::c_string;

/// A span of a text with a label.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct LacunaEntity {
    /// Index of the text.
    pub text: usize,
    /// First byte in the text.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Its label, which lives as long as the entities. A NUL in it is replaced by U+FFFD.
    pub label: *const c_char,
    /// Mean over its words (or tokens) of the probability of the label.
    pub score: f32,
}

/// The entities of some texts.
#[derive(Debug)]
pub struct LacunaEntities {
    entities: Vec<LacunaEntity>,
    /// What the labels of the entities point to.
    _labels: Vec<CString>,
}

/// Options of `lacuna_tag`. Set `size` to sizeof(LacunaTagOptions) and the rest to zero for the defaults.
#[repr(C)]
#[derive(Debug)]
pub struct LacunaTagOptions {
    /// sizeof(LacunaTagOptions).
    pub size: usize,
    /// Stops the call from another thread; NULL if nothing does.
    pub cancel: *const LacunaCancel,
    /// How tokens become entities: "none", "simple", "first", "average" or "max"; NULL for "simple".
    pub aggregation: *const c_char,
    /// What the prefixes of labels mean: "io", "bio", "bioes" or "bilou"; NULL for what the labels look like.
    pub scheme: *const c_char,
    /// Tokens that two neighbouring windows of a long text share; 0 for the smaller of 128 and half of the room.
    pub overlap: usize,
}

// SAFETY: `repr(C)` with its size at the beginning; numbers and pointers only.
unsafe impl Options for LacunaTagOptions {
    const NAME: &'static str = "LacunaTagOptions";
    const FIRST: usize = size_of::<Self>();
}

/// The library's options.
///
/// # Safety
/// Strings are NULL or end with NUL.
unsafe fn library(options: &LacunaTagOptions) -> Result<TagOptions> {
    // SAFETY: as the caller says.
    let (aggregation, scheme) =
        unsafe { (args::string("aggregation", options.aggregation)?, args::string("scheme", options.scheme)?) };
    let aggregation = aggregation.map(|name| {
        let names = || Aggregation::ALL.map(Aggregation::name).join(", ");
        name.parse().map_err(|_| Failed::option("aggregation", name, &names()))
    });
    let scheme = scheme.map(|name| {
        let names = || LabelScheme::ALL.map(LabelScheme::name).join(", ");
        name.parse().map_err(|_| Failed::option("scheme", name, &names()))
    });
    let overlap = (options.overlap > 0).then_some(options.overlap);
    Ok(TagOptions { aggregation: aggregation.transpose()?.unwrap_or_default(), scheme: scheme.transpose()?, overlap })
}

/// Finds the labelled spans of every text, in the order of the texts and in them. The model needs a head for token classification. A long text is read in
/// windows. `*entities` are the entities, or NULL after an error. Free them with `lacuna_entities_free`.
///
/// `options` may be NULL. Threads: any number of calls at the same time.
///
/// # Safety
/// Pointers are NULL, or point to what the names say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_tag(
    encoder: *const LacunaEncoder,
    texts: *const LacunaText,
    count: usize,
    options: *const LacunaTagOptions,
    entities: *mut *mut LacunaEntities,
) -> LacunaStatus {
    guard(|| {
        // SAFETY: as the caller says.
        let (place, texts, options) =
            unsafe { (args::out("entities", entities)?, args::texts("texts", texts, count)?, args::options(options)?) };
        // SAFETY: likewise.
        let library = unsafe { library(&options) }?;
        // SAFETY: likewise.
        let found = unsafe {
            run_with_head(encoder, options.cancel, HeadKind::TokenClassification, |session, head| {
                Ok(TokenClassifier::new(session, head)?.tag(&texts, &library)?)
            })
        }?;
        let (mut entities, mut labels) = (Vec::new(), Vec::new());
        for (text, entity) in found.iter().enumerate().flat_map(|(text, all)| all.iter().map(move |one| (text, one))) {
            let label = c_string(&entity.label);
            let (start, end, score) = (entity.start, entity.end, entity.score);
            entities.push(LacunaEntity { text, start, end, label: label.as_ptr(), score });
            labels.push(label); // the string itself stays where it is
        }
        *place = Box::into_raw(Box::new(LacunaEntities { entities, _labels: labels }));
        Ok(())
    })
}

/// The entities as an array, which lives as long as they do, and their number in `*count`. NULL and 0 for NULL. NULL if `count` is NULL.
///
/// Threads: any, at any time.
///
/// # Safety
/// `entities` is NULL, or was not freed; `count` is NULL, or a place for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_entities_get(
    entities: *const LacunaEntities,
    count: *mut usize,
) -> *const LacunaEntity {
    // SAFETY: as the caller says.
    let entities = unsafe { entities.as_ref() }.map(|entities| &entities.entities[..]);
    // SAFETY: likewise.
    unsafe { args::list(entities, count) }
}

/// Frees entities. Does nothing for NULL.
///
/// Threads: any, once, when nothing uses them.
///
/// # Safety
/// `entities` is NULL, or was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_entities_free(entities: *mut LacunaEntities) {
    if !entities.is_null() {
        // SAFETY: they came from `Box::into_raw`.
        drop(unsafe { Box::from_raw(entities) });
    }
}
