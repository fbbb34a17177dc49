//! Encoders: opening, and what they say about themselves.

use std::ffi::{CString, c_char};
use std::path::Path;
use std::sync::Arc;

use lacuna::errors::ModelError;
use lacuna::heads::{Head, HeadKind};
use lacuna::{Compile, Encoder, Model, PackedModel, Tier};

use crate::args::{self, Options};
use crate::forked;
use crate::status::{Failed, LacunaStatus, Result, guard};
use crate::strings::c_string;
use crate::threads::Threads;

/// An encoder that is compiled for this machine, with the head of its model.
#[derive(Debug)]
pub struct LacunaEncoder {
    encoder: Arc<Encoder>,
    head: Option<Arc<Head>>,
    labels: Vec<CString>,
    report: CString,
    threads: Threads,
    /// The process that opened it.
    generation: u32,
}

/// How an encoder is opened. Set `size` to sizeof(LacunaOpenOptions) and the rest to zero for the defaults.
#[repr(C)]
#[derive(Debug)]
pub struct LacunaOpenOptions {
    /// sizeof(LacunaOpenOptions).
    pub size: usize,
    /// Threads of each call, at most 1024; 0 for those of the process, as many as it is granted CPUs, which all calls share.
    pub threads: usize,
    /// "avx512vnni", "avxvnni", "avx2" or "portable"; NULL for LACUNA_TIER or the best of this machine. One that the machine lacks is an error.
    pub tier: *const c_char,
}

// SAFETY: `repr(C)` with its size at the beginning; numbers and pointers only.
unsafe impl Options for LacunaOpenOptions {
    const NAME: &'static str = "LacunaOpenOptions";
    const FIRST: usize = size_of::<Self>();
}

impl LacunaEncoder {
    /// The encoder, in the process that opened it.
    pub(crate) fn encoder(&self) -> Result<&Arc<Encoder>> {
        match forked::generation() == self.generation {
            true => Ok(&self.encoder),
            false => Err(Failed::new(LacunaStatus::Machine, forked::text(std::process::id()))),
        }
    }

    /// The head, which must be of a kind.
    pub(crate) fn head(&self, kind: HeadKind) -> Result<Arc<Head>> {
        let missing = || ModelError::NoHead { path: "this model".into(), found: "none".into(), expected: kind.class() };
        let head = self.head.as_ref().ok_or_else(missing)?;
        head.require(kind)?;
        Ok(Arc::clone(head))
    }

    /// Its threads.
    pub(crate) fn threads(&self) -> &Threads {
        &self.threads
    }

    /// Opens a model, on threads of the kind that calls have.
    fn open(path: &Path, tier: Option<Tier>, threads: usize) -> Result<LacunaEncoder> {
        let generation = forked::generation();
        let threads = Threads::new(threads)?;
        if generation > 0 && threads.are_shared() {
            return Err(Failed::new(LacunaStatus::Machine, forked::text(std::process::id())));
        }
        let (encoder, head) = threads.run(|| compiled(path, tier))?;
        let labels = head.iter().flat_map(Head::labels).map(|label| c_string(label));
        Ok(LacunaEncoder {
            labels: labels.collect(),
            report: c_string(&encoder.report().to_string()),
            encoder: Arc::new(encoder),
            head: head.map(Arc::new),
            threads,
            generation,
        })
    }
}

/// Reads a model, calibrates it if it is not packed, and compiles it.
fn compiled(path: &Path, tier: Option<Tier>) -> Result<(Encoder, Option<Head>)> {
    if PackedModel::is_meant(path) {
        let model = PackedModel::open(path)?;
        let head = model.head_class().is_some().then(|| model.head()).transpose()?;
        let compiler = model.compiler();
        return Ok((if let Some(tier) = tier { compiler.tier(tier) } else { compiler }.compile()?, head));
    }
    let model = Model::open(path)?;
    let head = match model.head() {
        Ok(head) => Some(head),
        Err(ModelError::NoHead { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let calibrated = model.calibration().run_default()?;
    let compiler = calibrated.compiler();
    Ok((if let Some(tier) = tier { compiler.tier(tier) } else { compiler }.compile()?, head))
}

/// Opens a file of `lacuna pack`, which takes milliseconds, or a model directory or one of its weight files, which is calibrated first and takes seconds.
/// `*encoder` is the encoder, or NULL after an error. Free it with `lacuna_encoder_free`.
///
/// A packed file is mapped into memory. Do not change or shorten it while the encoder lives: the system would end the process. Move a new file to its
/// place instead.
///
/// `options` may be NULL. Threads: any, at any time.
///
/// # Safety
/// `path` ends with NUL, `options` is NULL or valid, and `encoder` is a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_encoder_open(
    path: *const c_char,
    options: *const LacunaOpenOptions,
    encoder: *mut *mut LacunaEncoder,
) -> LacunaStatus {
    guard(|| {
        // SAFETY: as the caller says.
        let (encoder, path, options) =
            unsafe { (args::out("encoder", encoder)?, args::path("path", path)?, args::options(options)?) };
        // SAFETY: likewise.
        let tier = unsafe { args::string("tier", options.tier) }?;
        let names = || Tier::ALL.map(Tier::name).join(", ");
        let tier = tier.map(|name| name.parse::<Tier>().map_err(|_| Failed::option("tier", name, &names())));
        let opened = LacunaEncoder::open(&path, tier.transpose()?, options.threads)?;
        *encoder = Box::into_raw(Box::new(opened));
        Ok(())
    })
}

/// Frees an encoder. Does nothing for NULL.
///
/// Threads: any, once, when no call uses it.
///
/// # Safety
/// `encoder` is NULL, or was not freed, and nothing uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_encoder_free(encoder: *mut LacunaEncoder) {
    if !encoder.is_null() {
        // SAFETY: it came from `Box::into_raw`.
        let encoder = unsafe { Box::from_raw(encoder) };
        guard(|| {
            drop(encoder);
            Ok(())
        });
    }
}

/// Features of an embedding: how many floats `lacuna_embed` writes per text. 0 for NULL.
///
/// Threads: any, at any time.
///
/// # Safety
/// `encoder` is NULL, or was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_encoder_features(encoder: *const LacunaEncoder) -> usize {
    // SAFETY: as the caller says.
    unsafe { encoder.as_ref() }.map_or(0, |encoder| encoder.encoder.features())
}

/// The longest text in tokens, special tokens included. 0 for NULL.
///
/// Threads: any, at any time.
///
/// # Safety
/// `encoder` is NULL, or was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_encoder_max_tokens(encoder: *const LacunaEncoder) -> usize {
    // SAFETY: as the caller says.
    unsafe { encoder.as_ref() }.map_or(0, |encoder| {
        let positions = encoder.encoder.config().max_position;
        encoder.encoder.tokenizer().map_or(positions, |tokenizer| tokenizer.max_length().min(positions))
    })
}

/// How many labels the head of the model has; 0 without a head, and for NULL.
///
/// Threads: any, at any time.
///
/// # Safety
/// `encoder` is NULL, or was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_encoder_labels(encoder: *const LacunaEncoder) -> usize {
    // SAFETY: as the caller says.
    unsafe { encoder.as_ref() }.map_or(0, |encoder| encoder.labels.len())
}

/// A label of the head, counted from 0. NULL if there is no such label. A NUL in it is replaced by U+FFFD.
///
/// Threads: any, at any time. The text lives as long as the encoder.
///
/// # Safety
/// `encoder` is NULL, or was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_encoder_label(encoder: *const LacunaEncoder, index: usize) -> *const c_char {
    // SAFETY: as the caller says.
    let label = unsafe { encoder.as_ref() }.and_then(|encoder| encoder.labels.get(index));
    label.map_or(std::ptr::null(), |label| label.as_ptr())
}

/// How the encoder was loaded, as a text of several lines for people: times, kernels, density and form of every layer. NULL for NULL.
///
/// Threads: any, at any time. The text lives as long as the encoder.
///
/// # Safety
/// `encoder` is NULL, or was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_encoder_report(encoder: *const LacunaEncoder) -> *const c_char {
    // SAFETY: as the caller says.
    unsafe { encoder.as_ref() }.map_or(std::ptr::null(), |encoder| encoder.report.as_ptr())
}
