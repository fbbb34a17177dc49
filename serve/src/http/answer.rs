//! A result as a response: JSON, with headers that say what the request used.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::prepare::Usage;

/// JSON and what it used, in the headers of text-embeddings-inference. Times are in milliseconds.
pub(crate) struct Answer<T>(pub(crate) T, pub(crate) Usage);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let Answer(value, usage) = self;
        (headers(&usage), Json(value)).into_response()
    }
}

fn headers(usage: &Usage) -> HeaderMap {
    let ms = |time: Duration| time.as_millis() as usize;
    let total = usage.started.elapsed();
    let mut headers = HeaderMap::with_capacity(9);
    headers.insert(HeaderName::from_static("x-compute-type"), HeaderValue::from_static("cpu"));
    for (name, value) in [
        ("x-compute-time", ms(total)),
        ("x-compute-characters", usage.characters),
        ("x-compute-tokens", usage.tokens),
        ("x-total-time", ms(total)),
        ("x-tokenization-time", ms(usage.tokenizing)),
        ("x-queue-time", ms(usage.waited)),
        ("x-inference-time", ms(usage.computed)),
        ("x-truncated-inputs", usage.truncated),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
    headers
}
