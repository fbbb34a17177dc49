//! All routes as one router.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::decompression::RequestDecompressionLayer;

use crate::http::{
    Dialect, authorize, deadline, describe_encoding, no_route, observe, panicked, write_errors, wrong_method,
};
use crate::protocols::{admin, cohere, kserve, openai, operations, pipelines, pooling, tei};
use crate::server::Server;

/// The routes of a server, as a program can put them into an application of its own.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use lacuna::Encoder;
/// use lacuna_serve::{ServedModel, Server, ServerOptions, router};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let encoder = Arc::new(Encoder::open("minilm.lacuna")?);
/// let server = Server::start(vec![ServedModel::new("minilm", encoder, None)?], ServerOptions::default())?;
/// let application: axum::Router = axum::Router::new().nest("/models", router(server));
/// # Ok(())
/// # }
/// ```
pub fn router(server: Arc<Server>) -> Router {
    let speaking = |dialect: Dialect, routes: Router<Arc<Server>>, needs_key: bool| {
        let routes = routes.route_layer(from_fn(deadline));
        let routes = match needs_key {
            true => routes.route_layer(from_fn_with_state(Arc::clone(&server), authorize)),
            false => routes,
        };
        routes.method_not_allowed_fallback(wrong_method).layer(map_response(write_errors(dialect)))
    };
    Router::new()
        .merge(speaking(Dialect::Tei, tei(), true))
        .merge(speaking(Dialect::Tei, pipelines(), true))
        .merge(speaking(Dialect::Tei, admin(), true))
        .merge(speaking(Dialect::Tei, operations(), false))
        .merge(speaking(Dialect::OpenAi, openai().merge(pooling()), true))
        .merge(speaking(Dialect::Cohere, cohere(), true))
        .merge(speaking(Dialect::KServe, kserve(), true))
        .fallback(no_route)
        .layer(map_response(write_errors(Dialect::Tei)))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(RequestDecompressionLayer::new())
        .layer(map_response(describe_encoding))
        .layer(from_fn_with_state(Arc::clone(&server), observe))
        .with_state(server)
}
