//! Calls into rten that fail.

use crate::error::EngineError;

/// A call into rten that failed.
pub(super) fn failed(call: &str, reason: impl std::fmt::Display) -> EngineError {
    EngineError::Call { library: "rten", call: call.to_owned(), reason: reason.to_string() }
}
