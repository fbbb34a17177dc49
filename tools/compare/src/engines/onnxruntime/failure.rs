//! Calls into ONNX Runtime that fail.

use crate::error::EngineError;

/// What it is called in messages.
pub(super) const LIBRARY: &str = "ONNX Runtime";

/// A call into ONNX Runtime that failed, with its answer in one line.
pub(super) fn failed(call: &str, reason: impl std::fmt::Display) -> EngineError {
    let reason = reason.to_string();
    let lines: Vec<&str> = reason.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    EngineError::Call { library: LIBRARY, call: call.to_owned(), reason: lines.join("; ") }
}
