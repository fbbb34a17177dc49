//! From a socket to the routes, and how a server ends.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::connection;
use crate::router::router;
use crate::server::Server;

/// Connections that are told at the same time that there are too many.
const MOST_TURNED_AWAY: usize = 256;
/// The wait after an error of the system, such as too many open files: connections that end meanwhile make room.
const AFTER_ERROR: Duration = Duration::from_millis(50);

/// How a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainOptions {
    /// How long `/health` says "not ready" before no more connections are taken: probes must see it.
    pub notice: Duration,
    /// How long requests may take from then on.
    pub limit: Duration,
}

impl Default for DrainOptions {
    fn default() -> DrainOptions {
        DrainOptions { notice: Duration::ZERO, limit: Duration::from_secs(30) }
    }
}

/// Serves until `end` is ready. Then `/health` says that the server is not ready, no more connections are taken, accepted requests are
/// finished, and the threads end.
///
/// # Errors
/// None at present: what fails is a connection, not the server.
pub async fn serve(
    server: Arc<Server>,
    listener: TcpListener,
    drain: DrainOptions,
    end: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let routes = router(Arc::clone(&server));
    let (closing, closed) = watch::channel(false);
    let (mut open, mut turned_away) = (JoinSet::new(), JoinSet::new());
    let mut end = pin!(async {
        end.await;
        server.drain();
        tracing::info!("draining");
        tokio::time::sleep(drain.notice).await;
    });
    loop {
        let accepted = tokio::select! {
            () = &mut end => break,
            accepted = listener.accept() => accepted,
            Some(_) = open.join_next() => {
                server.metrics().connections.set(open.len() as i64);
                continue;
            }
            Some(_) = turned_away.join_next() => continue,
        };
        let limits = *server.limits();
        match accepted {
            Ok((stream, _)) if open.len() < limits.connections => {
                connection::without_delay(&stream);
                open.spawn(connection::serve(stream, routes.clone(), limits, closed.clone()));
                server.metrics().connections.set(open.len() as i64);
            }
            Ok((stream, _)) if turned_away.len() < MOST_TURNED_AWAY => {
                tracing::debug!(limit = limits.connections, "a connection is turned away");
                turned_away.spawn(connection::turn_away(stream, limits.connections));
            }
            Ok(_) => tracing::debug!(limit = limits.connections, "a connection is closed without an answer"),
            Err(error) if is_of_one_client(&error) => tracing::debug!(%error, "a connection ended before it was taken"),
            Err(error) => {
                tracing::warn!(%error, "connections cannot be taken");
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
    drop(listener);
    let _ = closing.send(true); // no connection is left if nobody listens
    let finished = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(drain.limit, finished).await.is_err() {
        tracing::warn!("requests were not finished in time");
    }
    server.stop();
    Ok(())
}

/// Whether an error of `accept` says nothing about the connections that follow.
fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
