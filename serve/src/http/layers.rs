//! What happens around every route: keys, errors, counts, logs.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::http::header::{ACCEPT_ENCODING, AUTHORIZATION};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::dialect::Dialect;
use crate::error::{Error, Result};
use crate::server::Server;

/// What a route is called that no route has.
const NO_ROUTE: &str = "none";
/// The header with the time that the client waits, in milliseconds.
const DEADLINE: &str = "x-request-timeout-ms";
/// A day.
const MOST_MILLISECONDS: u64 = 86_400_000;

/// Lets requests through that have a key.
pub(crate) async fn authorize(State(server): State<Arc<Server>>, request: Request, next: Next) -> Result<Response> {
    if server.keys().are_required() {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let bearer = header(AUTHORIZATION.as_str()).and_then(|value| {
            let (scheme, key) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
        });
        if !bearer.or_else(|| header("x-api-key")).is_some_and(|key| server.keys().accept(key)) {
            return Err(Error::Unauthorized);
        }
    }
    Ok(next.run(request).await)
}

/// Ends a request when its client waits no longer: the texts that are not computed yet are dropped.
pub(crate) async fn deadline(request: Request, next: Next) -> Result<Response> {
    let Some(value) = request.headers().get(DEADLINE) else { return Ok(next.run(request).await) };
    let milliseconds = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    match milliseconds.filter(|ms| (1..=MOST_MILLISECONDS).contains(ms)) {
        Some(ms) => {
            let limit = Duration::from_millis(ms);
            tokio::time::timeout(limit, next.run(request)).await.map_err(|_| Error::Timeout { limit })
        }
        None => {
            let expected = format!("milliseconds from 1 to {MOST_MILLISECONDS}");
            Err(Error::invalid(DEADLINE, format!("{value:?}"), &expected))
        }
    }
}

/// Writes the body of an error that has none yet.
pub(crate) fn write_errors(
    dialect: Dialect,
) -> impl Fn(Response) -> std::future::Ready<Response> + Clone + Send + Sync {
    move |mut response: Response| {
        let error = response.extensions_mut().remove::<Error>();
        std::future::ready(error.map_or(response, |error| dialect.response(&error)))
    }
}

/// Counts and logs. The log has no texts.
pub(crate) async fn observe(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let route = path.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    #[cfg(feature = "otlp")]
    let response = super::traces::within(super::traces::span(&request, route), next.run(request)).await;
    #[cfg(not(feature = "otlp"))]
    let response = next.run(request).await;
    let (status, took) = (response.status().as_u16(), started.elapsed());
    server.metrics().request(route, status, took);
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let tokens = header("x-compute-tokens");
    match status {
        500.. => tracing::warn!(route, status, us = took.as_micros() as u64, tokens, "request"),
        _ => tracing::debug!(route, status, us = took.as_micros() as u64, tokens, "request"),
    }
    response
}

/// A path that no route has.
pub(crate) async fn no_route(request: Request) -> Error {
    Error::NoRoute { path: request.uri().path().to_owned() }
}

/// A route that does not take the method.
pub(crate) async fn wrong_method(request: Request) -> Error {
    Error::WrongMethod { method: request.method().to_string(), path: request.uri().path().to_owned() }
}

/// Writes the body of a response that refuses to unpack: the layer that unpacks writes none.
pub(crate) async fn describe_encoding(mut response: Response) -> Response {
    if response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        let expected = response.headers_mut().remove(ACCEPT_ENCODING);
        let named = expected.as_ref().and_then(|value| value.to_str().ok()).unwrap_or("identity").to_owned();
        response = Dialect::Tei.response(&Error::UnknownEncoding { expected: named });
        if let Some(value) = expected {
            response.headers_mut().insert(ACCEPT_ENCODING, value);
        }
    }
    response
}

/// The response after a panic.
pub(crate) fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a panic in a route");
    let error = Error::backend("the server stopped at a contradiction; please report this");
    (StatusCode::INTERNAL_SERVER_ERROR, Dialect::Tei.response(&error)).into_response()
}
