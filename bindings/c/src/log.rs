//! What the library says while it works, for a function of the caller.

use std::cell::Cell;
use std::ffi::{c_char, c_void};
use std::sync::{PoisonError, RwLock};

use crate::status::{Failed, LacunaStatus, guard};
use crate::strings::c_string;

/// Something that failed.
pub const LACUNA_LOG_ERROR: u32 = 1;
/// Something to look at, such as texts that were truncated.
pub const LACUNA_LOG_WARNING: u32 = 2;
/// What the library does.
pub const LACUNA_LOG_INFO: u32 = 3;

/// Gets a message: its level, the part of the library that says it, the text, and the pointer that was given to `lacuna_set_log`. The texts are
/// valid during the call.
pub type LacunaLog =
    Option<unsafe extern "C" fn(level: u32, target: *const c_char, text: *const c_char, data: *mut c_void)>;

/// The caller's function, and what it gets.
struct Sink {
    log: unsafe extern "C" fn(u32, *const c_char, *const c_char, *mut c_void),
    data: *mut c_void,
}

// SAFETY: `lacuna_set_log` makes the caller promise that any thread may use both.
unsafe impl Send for Sink {}
// SAFETY: likewise.
unsafe impl Sync for Sink {}

static SINK: RwLock<Option<Sink>> = RwLock::new(None);

thread_local! {
    /// Whether this thread is in the caller's function.
    static IS_LOGGING: Cell<bool> = const { Cell::new(false) };
}

/// Sends the messages of the library to `log`, with `data`; NULL ends that. Without it nothing is said anywhere: the library writes to no stream.
///
/// The function must not call the library, throw an exception or leave with longjmp.
///
/// Threads: any. The function is called from threads of the library, several at a time. This waits until no thread uses the function that was set before, so
/// do not hold a lock that the function takes.
///
/// # Safety
/// `log` is NULL, or may be called with `data` from any thread until this is called again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lacuna_set_log(log: LacunaLog, data: *mut c_void) -> LacunaStatus {
    guard(|| {
        if IS_LOGGING.try_with(Cell::get).unwrap_or(false) {
            let text =
                "lacuna_set_log: found a call by the function that gets the messages; expected one from elsewhere";
            return Err(Failed::new(LacunaStatus::InvalidInput, text));
        }
        if log.is_some() {
            static INSTALLED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
            let is_own = *INSTALLED.get_or_init(|| ::log::set_logger(&Logger).is_ok());
            if !is_own {
                let text = "log: found another logger in this process; expected none";
                return Err(Failed::new(LacunaStatus::Machine, text));
            }
        }
        ::log::set_max_level(if log.is_some() { ::log::LevelFilter::Info } else { ::log::LevelFilter::Off });
        *SINK.write().unwrap_or_else(PoisonError::into_inner) = log.map(|log| Sink { log, data });
        Ok(())
    })
}

/// Passes records on.
struct Logger;

impl ::log::Log for Logger {
    fn enabled(&self, metadata: &::log::Metadata<'_>) -> bool {
        metadata.level() <= ::log::Level::Info
    }

    fn log(&self, record: &::log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = match record.level() {
            ::log::Level::Error => LACUNA_LOG_ERROR,
            ::log::Level::Warn => LACUNA_LOG_WARNING,
            _ => LACUNA_LOG_INFO,
        };
        let (target, text) = (c_string(record.target()), c_string(&record.args().to_string()));
        if let Some(Sink { log, data }) = &*SINK.read().unwrap_or_else(PoisonError::into_inner) {
            let _ = IS_LOGGING.try_with(|is_logging| is_logging.set(true));
            // SAFETY: as the caller of `lacuna_set_log` says.
            unsafe { log(level, target.as_ptr(), text.as_ptr(), *data) };
            let _ = IS_LOGGING.try_with(|is_logging| is_logging.set(false));
        }
    }

    fn flush(&self) {}
}
