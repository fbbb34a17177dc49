//! The body of a request as a value.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::server::Server;

/// A body of JSON. The type of its content need not be stated.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Server>> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, server: &Arc<Server>) -> Result<Body<T>> {
        let bytes = bytes(request, server).await?;
        serde_json::from_slice(&bytes).map(Body).map_err(|error| refused(&error))
    }
}

/// All bytes of a body, unpacked.
///
/// # Errors
/// [`Error::SlowBody`]; [`Error::TooLarge`]; [`Error::Malformed`] for a body that ends too early or cannot be unpacked.
pub(crate) async fn bytes(request: Request, server: &Arc<Server>) -> Result<Bytes> {
    let limit = server.limits().body_time;
    let read = tokio::time::timeout(limit, Bytes::from_request(request, server));
    let read = read.await.map_err(|_| Error::SlowBody { limit })?;
    read.map_err(|rejection| {
        let reason = rejection.body_text();
        match rejection.into_response().status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Error::TooLarge { what: "bytes of the body", found: "more".into(), limit: server.limits().body_bytes }
            }
            _ => Error::Malformed { reason },
        }
    })
}

/// What is wrong with JSON: its form, or what it says.
pub(crate) fn refused(error: &serde_json::Error) -> Error {
    let reason = format!("JSON: {error}");
    match error.is_data() {
        true => Error::Invalid { reason },
        false => Error::Malformed { reason },
    }
}
