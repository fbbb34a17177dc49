//! One connection: from a socket to the routes, with limits on slow clients.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use crate::limits::Limits;

/// How long a client that is turned away may take to read why.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a connection until the client closes it, a limit ends it, or `closing` changes: then the request that runs is the last.
pub(crate) async fn serve(stream: TcpStream, routes: Router, limits: Limits, mut closing: watch::Receiver<bool>) {
    without_delay(&stream);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write_time));
    let routes = routes.map_request(|request: axum::http::Request<Incoming>| request.map(Body::new));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.header_time);
    let mut connection =
        pin!(http.serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(routes)));
    let result = tokio::select! {
        result = connection.as_mut() => result,
        _ = closing.wait_for(|closing| *closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended");
    }
}

/// Says that there are too many connections. It is not a route: nothing of the request is read before.
pub(crate) async fn turn_away(mut stream: TcpStream, limit: usize) {
    let body = format!("{{\"error\":\"found {limit} open connections; expected fewer\",\"error_type\":\"Overloaded\"}}");
    let length = body.len();
    let response = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nretry-after: 1\r\nconnection: close\r\n\r\n{body}"
    );
    let say = async {
        stream.write_all(response.as_bytes()).await?;
        stream.shutdown().await?;
        // A socket that is closed with unread bytes takes the response back.
        while stream.read(&mut [0; 4096]).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = tokio::time::timeout(FAREWELL, say).await; // the client need not listen
}

/// Answers are short: a packet must not wait for more.
fn without_delay(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection without TCP_NODELAY");
    }
}

