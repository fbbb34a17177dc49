//! How each protocol writes its errors.

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::error::Error;

/// A protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// text-embeddings-inference, and the pipelines of transformers.
    Tei,
    OpenAi,
    Cohere,
    KServe,
}

impl Dialect {
    /// The response to an error.
    pub(crate) fn response(self, error: &Error) -> Response {
        let (status, body) = self.body(error);
        let mut response = (status, Json(body)).into_response();
        match error {
            Error::Overloaded { retry, .. } => {
                let seconds = retry.as_secs_f64().ceil().clamp(1.0, 3600.0) as u64;
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            Error::Unauthorized => {
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }

    fn body(self, error: &Error) -> (StatusCode, Value) {
        let (message, status) = (error.to_string(), error.status());
        match self {
            Dialect::Tei => (status, json!({ "error": message, "error_type": tei_type(error) })),
            Dialect::OpenAi => {
                let status = client_status(status);
                let kind = match status {
                    StatusCode::UNAUTHORIZED => "authentication_error",
                    StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
                    status if status.is_client_error() => "invalid_request_error",
                    _ => "server_error",
                };
                let code =
                    if matches!(error, Error::UnknownModel { .. }) { json!("model_not_found") } else { json!(null) };
                (status, json!({ "error": { "message": message, "type": kind, "param": null, "code": code } }))
            }
            Dialect::Cohere => (client_status(status), json!({ "message": message })),
            Dialect::KServe => (client_status(status), json!({ "error": message })),
        }
    }
}

/// These protocols have one status for everything that is wrong with a request.
fn client_status(status: StatusCode) -> StatusCode {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::FAILED_DEPENDENCY => {
            StatusCode::BAD_REQUEST
        }
        status => status,
    }
}

fn tei_type(error: &Error) -> &'static str {
    match error {
        Error::Empty { .. } => "Empty",
        Error::Tokenizer { .. } => "Tokenizer",
        Error::Backend { .. } | Error::Timeout { .. } | Error::Reload { .. } => "Backend",
        Error::Overloaded { .. } => "Overloaded",
        Error::Draining => "Unhealthy",
        _ => "Validation",
    }
}
