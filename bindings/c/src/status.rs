//! How a call ended, and the text that says why.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use lacuna::ErrorKind;
use lacuna::errors::ModelError;

use crate::forked;
use crate::strings::c_string;

/// How a call ended.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LacunaStatus {
    /// It did what was asked.
    Ok = 0,
    /// The system refused to read or write.
    Io = 1,
    /// A file that is not there.
    NotFound = 2,
    /// A file whose contents are not what they should be.
    InvalidFile = 3,
    /// A model or a setting that is not supported.
    Unsupported = 4,
    /// An option out of its bounds, or a task that is not that of the model's head.
    InvalidOption = 5,
    /// An input that cannot be used: a NULL pointer, bytes that are not UTF-8, no texts, too small a buffer.
    InvalidInput = 6,
    /// Something that the call needs and the model does not have, such as a head or a tokenizer.
    Missing = 7,
    /// This machine or process cannot do it.
    Machine = 8,
    /// Another thread stopped it.
    Cancelled = 9,
    /// A bug of the library.
    Internal = 10,
}

/// A call that failed.
#[derive(Debug)]
pub(crate) struct Failed {
    status: LacunaStatus,
    text: String,
}

/// What functions of this crate return.
pub(crate) type Result<T, E = Failed> = std::result::Result<T, E>;

impl Failed {
    /// Of a kind, with a text.
    pub(crate) fn new(status: LacunaStatus, text: impl Into<String>) -> Failed {
        Failed { status, text: text.into() }
    }

    /// An input that cannot be used.
    pub(crate) fn input(what: &str, found: &str, expected: &str) -> Failed {
        Failed::new(LacunaStatus::InvalidInput, format!("{what}: found {found}; expected {expected}"))
    }

    /// An option out of its bounds.
    pub(crate) fn option(what: &str, found: &str, expected: &str) -> Failed {
        Failed::new(LacunaStatus::InvalidOption, format!("{what}: found {found}; expected {expected}"))
    }
}

impl<E: Into<lacuna::Error>> From<E> for Failed {
    fn from(error: E) -> Failed {
        let error: lacuna::Error = error.into();
        let status = match error.kind() {
            ErrorKind::Io => LacunaStatus::Io,
            ErrorKind::NotFound => LacunaStatus::NotFound,
            ErrorKind::InvalidFile => LacunaStatus::InvalidFile,
            ErrorKind::Unsupported => LacunaStatus::Unsupported,
            ErrorKind::InvalidOption => LacunaStatus::InvalidOption,
            ErrorKind::InvalidInput => LacunaStatus::InvalidInput,
            ErrorKind::Missing => LacunaStatus::Missing,
            ErrorKind::Machine => LacunaStatus::Machine,
            ErrorKind::Cancelled => LacunaStatus::Cancelled,
            _ => LacunaStatus::Internal,
        };
        let text = match &error {
            lacuna::Error::Cancelled => "cancelled; lacuna_cancel_reset lets calls run again".into(),
            lacuna::Error::Model(ModelError::Forked { process, .. }) => forked::text(*process),
            error => error.to_string(),
        };
        Failed::new(status, text)
    }
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// Runs a function of the interface: an error becomes a status with a text, and so does a panic.
pub(crate) fn guard(work: impl FnOnce() -> Result<()>) -> LacunaStatus {
    let failed = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => return LacunaStatus::Ok,
        Ok(Err(failed)) => failed,
        Err(panic) => {
            let said = panic.downcast_ref::<&str>().copied();
            let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
            Failed::new(LacunaStatus::Internal, format!("the library panicked, which is a bug: {said}"))
        }
    };
    let text = c_string(&failed.text);
    // A thread that is ending may have no place for the text any more.
    let _ = LAST.try_with(|last| last.replace(text));
    failed.status
}

/// What failed in the last call of this thread that failed; empty if none did, and while the thread ends: in destructors of its own variables, and in
/// functions of atexit.
///
/// Threads: every thread has a text of its own. It stays valid until another call of this thread fails.
#[unsafe(no_mangle)]
pub extern "C" fn lacuna_last_error() -> *const c_char {
    LAST.try_with(|text| text.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

/// The name of a status in one or two words, such as "invalid file"; "unknown status" for a number that is none.
///
/// Threads: any, at any time. The text is never freed.
#[unsafe(no_mangle)]
pub extern "C" fn lacuna_status_name(status: i32) -> *const c_char {
    let names = [
        c"ok",
        c"io",
        c"not found",
        c"invalid file",
        c"unsupported",
        c"invalid option",
        c"invalid input",
        c"missing",
        c"machine",
        c"cancelled",
        c"internal",
    ];
    let name = usize::try_from(status).ok().and_then(|status| names.get(status).copied());
    name.unwrap_or(c"unknown status").as_ptr()
}

/// The version of the library, such as "0.1.0".
///
/// Threads: any, at any time. The text is never freed.
#[unsafe(no_mangle)]
pub extern "C" fn lacuna_version() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };
    VERSION.as_ptr()
}
