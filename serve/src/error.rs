//! Why a request is refused or fails, as a type: each cause has one status, whatever the protocol.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lacuna::ErrorKind;

/// Result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request has no result.
///
/// As a response it has no body yet: the routes of each protocol write the body that clients of this protocol expect.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The body is not what the route reads: no JSON, or broken.
    #[error("{reason}")]
    Malformed {
        /// What the parser says, with its place.
        reason: String,
    },
    /// The body is packed in a way that the server does not know.
    #[error("found an unknown content encoding; expected one of: {expected}")]
    UnknownEncoding {
        /// The encodings that there are.
        expected: String,
    },
    /// The body is JSON, but a field is missing or has a value that is not allowed.
    #[error("{reason}")]
    Invalid {
        /// The field, what was found, and what is expected.
        reason: String,
    },
    /// A list of inputs that must not be empty.
    #[error("`{field}` cannot be empty")]
    Empty {
        /// The field.
        field: &'static str,
    },
    /// More than a limit allows.
    #[error("{what}: found {found}; expected at most {limit}")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// How many there are; of a body that was not read to its end, "more".
        found: String,
        /// The limit.
        limit: usize,
    },
    /// A text that is longer than the model reads, where the request does not ask to truncate it.
    #[error("input {input}: found {found} tokens; expected at most {limit}; `truncate` shortens it")]
    TooLong {
        /// Index among the inputs.
        input: usize,
        /// Its tokens.
        found: usize,
        /// The limit of the model.
        limit: usize,
    },
    /// A text that the tokenizer fails on.
    #[error("{reason}")]
    Tokenizer {
        /// What it says.
        reason: String,
    },
    /// The model has no result: it lacks what the route needs, or computing failed.
    #[error("{reason}")]
    Backend {
        /// What is missing or failed.
        reason: String,
    },
    /// The queue is full.
    #[error("the queue is full: {waiting} texts wait, {asked} more asked for; expected at most {limit} in all")]
    Overloaded {
        /// Texts that wait.
        waiting: usize,
        /// Texts of this request.
        asked: usize,
        /// The limit.
        limit: usize,
        /// When the queue is probably empty.
        retry: Duration,
    },
    /// The server is about to end.
    #[error("the server is shutting down")]
    Draining,
    /// The result was not ready in time.
    #[error("no result within {} ms", limit.as_millis())]
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// The client sent its body too slowly.
    #[error("the body did not arrive within {} ms", limit.as_millis())]
    SlowBody {
        /// The limit.
        limit: Duration,
    },
    /// No key, or a wrong one.
    #[error("found no valid API key; expected `Authorization: Bearer KEY`")]
    Unauthorized,
    /// A name that no model has.
    #[error("found no model {found:?}; expected one of: {expected}")]
    UnknownModel {
        /// The name.
        found: String,
        /// The names that there are.
        expected: String,
    },
    /// A path that no route has.
    #[error("found no route {path}")]
    NoRoute {
        /// The path.
        path: String,
    },
    /// A path that does not take this method.
    #[error("{path} does not take {method}")]
    WrongMethod {
        /// The method.
        method: String,
        /// The path.
        path: String,
    },
    /// A model could not be loaded again.
    #[error("reloading failed, the old model still serves: {reason}")]
    Reload {
        /// Why.
        reason: String,
    },
}

impl Error {
    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Error::Malformed { .. } | Error::Empty { .. } => StatusCode::BAD_REQUEST,
            Error::UnknownEncoding { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Error::Invalid { .. } | Error::Tokenizer { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Error::TooLarge { .. } | Error::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Error::Backend { .. } => StatusCode::FAILED_DEPENDENCY,
            Error::Overloaded { .. } => StatusCode::TOO_MANY_REQUESTS,
            Error::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Error::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Error::SlowBody { .. } => StatusCode::REQUEST_TIMEOUT,
            Error::Unauthorized => StatusCode::UNAUTHORIZED,
            Error::UnknownModel { .. } | Error::NoRoute { .. } => StatusCode::NOT_FOUND,
            Error::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Error::Reload { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A field with a value that is not allowed.
    pub(crate) fn invalid(field: &str, found: impl std::fmt::Display, expected: &str) -> Error {
        Error::Invalid { reason: format!("`{field}`: found {found}; expected {expected}") }
    }

    /// A model without what a route needs.
    pub(crate) fn backend(reason: impl Into<String>) -> Error {
        Error::Backend { reason: reason.into() }
    }
}

/// Errors about texts are the client's, all others the model's.
impl From<lacuna::Error> for Error {
    fn from(error: lacuna::Error) -> Error {
        let reason = error.to_string();
        match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::InvalidOption => Error::Tokenizer { reason },
            _ => Error::Backend { reason },
        }
    }
}

impl From<lacuna::errors::ModelError> for Error {
    fn from(error: lacuna::errors::ModelError) -> Error {
        lacuna::Error::from(error).into()
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}
