//! A result as a response: JSON, with headers that say what the request used.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::prepare::Usage;

/// An answer to so many tokens may have megabytes of numbers. Threads that serve connections would wait while it is written.
const LARGE_TOKENS: usize = 1024;

/// JSON and what it used, in the headers of text-embeddings-inference. Times are in milliseconds.
pub(crate) struct Answer<T>(pub(crate) T, pub(crate) Usage);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let Answer(value, usage) = self;
        let headers = headers(&usage);
        let write = || (headers, Json(value)).into_response();
        match usage.tokens >= LARGE_TOKENS && has_other_threads() {
            true => tokio::task::block_in_place(write),
            false => write(),
        }
    }
}

/// Whether other threads of the runtime take over while this one blocks.
fn has_other_threads() -> bool {
    Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
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
