//! The body of a request as a value.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::{Body as RawBody, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
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
    let read = tokio::time::timeout(limit, read(request.into_body(), server.limits().body_bytes));
    read.await.map_err(|_| Error::SlowBody { limit })?
}

/// How many times the limit is read of a body that is too large. A client that still sends when the connection closes does not get the
/// answer: the system drops it.
const READ_OF_LARGE: usize = 8;

async fn read(mut body: RawBody, limit: usize) -> Result<Bytes> {
    let (mut bytes, mut found) = (Vec::new(), 0_usize);
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| Error::Malformed { reason: format!("the body: {}", causes(&error)) })?;
        let Ok(data) = frame.into_data() else { continue };
        found = found.saturating_add(data.len());
        if found <= limit {
            bytes.extend_from_slice(&data);
        } else {
            bytes = Vec::new();
            if found / READ_OF_LARGE > limit {
                break;
            }
        }
    }
    match found <= limit {
        true => Ok(bytes.into()),
        false => Err(Error::TooLarge { what: "bytes of the body", found: "more".into(), limit }),
    }
}

/// An error with its causes.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |all, cause| format!("{all}: {cause}"))
}

/// What is wrong with JSON: its form, or what it says.
pub(crate) fn refused(error: &serde_json::Error) -> Error {
    let reason = format!("JSON: {error}");
    match error.is_data() {
        true => Error::Invalid { reason },
        false => Error::Malformed { reason },
    }
}
