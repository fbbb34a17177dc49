//! Texts for the caller.

use std::ffi::CString;

/// A text for the caller, which ends with NUL. One that is in it is replaced by U+FFFD.
pub(crate) fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default()
}
