//! From a socket to the routes, and how a server ends.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::router::router;
use crate::server::Server;

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
/// Those of the listener.
pub async fn serve(
    server: Arc<Server>,
    listener: TcpListener,
    drain: DrainOptions,
    end: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (closing, closed) = oneshot::channel::<()>();
    let draining = Arc::clone(&server);
    let wait = async move {
        end.await;
        draining.drain();
        tracing::info!("draining");
        tokio::time::sleep(drain.notice).await;
        let _ = closing.send(());
    };
    let routes = router(Arc::clone(&server));
    // Answers are short: a packet must not wait for more.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection without TCP_NODELAY");
        }
    });
    let serving = axum::serve(listener, routes).with_graceful_shutdown(wait);
    let late = async move {
        match closed.await {
            Ok(()) => tokio::time::sleep(drain.limit).await,
            Err(_) => std::future::pending().await, // serving ended by itself
        }
    };
    let result = tokio::select! {
        result = async { serving.await } => result,
        () = late => {
            tracing::warn!("requests were not finished in time");
            Ok(())
        }
    };
    server.stop();
    result
}
