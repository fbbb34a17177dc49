//! One connection: from a socket to the routes, with limits on slow clients.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use crate::limits::Limits;

/// How long a client that is turned away may take to read why.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a connection until the client closes it, a limit ends it, or `closing` changes: then the request that runs is the last.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Send>(
    stream: S,
    routes: Router,
    limits: Limits,
    mut closing: watch::Receiver<bool>,
) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.write_time));
    let routes = routes.map_request(|request: axum::http::Request<Incoming>| request.map(Body::new));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.header_time);
    let mut connection = pin!(http.serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(routes)));
    let result = tokio::select! {
        result = connection.as_mut() => result,
        _ = closing.changed() => {
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
    let body =
        format!("{{\"error\":\"found {limit} open connections; expected fewer\",\"error_type\":\"Overloaded\"}}");
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
pub(crate) fn without_delay(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection without TCP_NODELAY");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{DuplexStream, duplex};
    use tokio::task::JoinHandle;

    use super::*;

    const SHORT: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_secs(60);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

    /// A connection whose buffers have so many bytes, to routes with an answer of 10000 bytes.
    fn connected(bytes: usize, limits: Limits) -> (DuplexStream, watch::Sender<bool>, JoinHandle<()>) {
        let (client, server) = duplex(bytes);
        let (closing, closed) = watch::channel(false);
        let routes = Router::new().route("/", get(async || "a".repeat(10_000)));
        (client, closing, tokio::spawn(serve(server, routes, limits, closed)))
    }

    #[tokio::test]
    async fn headers_that_come_too_slowly_end_the_connection() {
        let limits = Limits { header_time: SHORT, ..Limits::default() };
        let (mut client, _closing, serving) = connected(1 << 16, limits);
        client.write_all(&REQUEST[..20]).await.unwrap();
        serving.await.unwrap();
        // An idle connection ends as well, but not while it has a request.
        let (mut client, _closing, serving) = connected(1 << 16, limits);
        client.write_all(REQUEST).await.unwrap();
        serving.await.unwrap();
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.unwrap();
        assert!(all.starts_with(b"HTTP/1.1 200 OK") && all.len() > 10_000);
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_of_a_response_loses_the_connection() {
        let limits = Limits { write_time: SHORT, header_time: LONG, ..Limits::default() };
        let (mut client, _closing, serving) = connected(256, limits);
        client.write_all(REQUEST).await.unwrap();
        serving.await.unwrap();
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.unwrap();
        assert!(all.len() <= 256, "{}", all.len());
    }

    #[tokio::test]
    async fn the_request_that_runs_is_the_last_when_the_server_closes() {
        let (mut client, closing, serving) = connected(256, Limits { header_time: LONG, ..Limits::default() });
        client.write_all(REQUEST).await.unwrap();
        let mut first = [0; 15];
        client.read_exact(&mut first).await.unwrap();
        closing.send(true).unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        serving.await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        assert!(rest.len() > 10_000);
    }
}
