//! From the options to a server, until a signal ends it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lacuna_console::context::{Context, cores};
use lacuna_console::error::{Error, Result};
use lacuna_console::output::say;
use lacuna_console::progress::Spinner;
use lacuna_console::table::plural;
use lacuna_serve::{PoolOptions, ServedModel, Server, ServerOptions, StartError, TuneOptions, choose, serve, tune};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use super::args::Args;
use super::files;
use super::load::Loader;
use super::log;
use super::traces::{self, Traces};

/// Threads that serve connections, at most: they parse and tokenize.
const CONNECTION_THREADS: usize = 4;

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    args.check_names()?;
    let (mut pool, mut limits, drain) = (args.pool(context)?, args.limits()?, args.drain());
    let (tuning, bound) = (args.tuning(context)?, args.latency_bound());
    let traces = args.otlp.as_deref().map(traces::start).transpose()?;
    log::start(&args.log, args.log_format, traces.as_ref().map(Traces::layer))?;
    let address = SocketAddr::new(args.host, args.port);
    let loader = Loader {
        models: args.models(),
        calibration: args.calibration,
        no_head: args.no_head,
        tier: context.tier,
        threads: pool.instances * pool.threads,
    };
    limits.connections = files::grant(limits.connections);
    let models: Vec<Arc<ServedModel>> = loader.all()?.into_iter().map(Arc::new).collect();
    if let (Some(tuning), Some(model)) = (tuning, models.first()) {
        pool = tuned(model, tuning, bound)?;
    }
    let reload = move |name: &str| loader.again(name).map_err(|error| error.one_line());
    let options = ServerOptions { pool, limits, api_keys: args.api_key, reload: Some(Box::new(reload)) };
    let server = Server::start(models, options).map_err(|error| refused(error, pool.threads))?;
    let failed =
        |action| move |source: io::Error| Error::Io { path: PathBuf::from(address.to_string()), action, source };
    let threads = cores().min(CONNECTION_THREADS);
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime =
        runtime.map_err(|source| Error::Io { path: "threads for connections".into(), action: "start", source })?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.map_err(failed("listen on"))?;
        let address = listener.local_addr().map_err(failed("listen on"))?;
        let end =
            signals(&server).map_err(|source| Error::Io { path: "signals".into(), action: "listen to", source })?;
        for model in server.models() {
            say(format_args!("model {}: {}", model.name(), model.kind().name()));
        }
        let (instances, threads) = (plural(pool.instances, "instance"), plural(pool.threads, "thread"));
        say(format_args!("listening on http://{address}, {instances} of {threads}; routes: http://{address}/docs"));
        serve(Arc::clone(&server), listener, drain, end).await.map_err(failed("serve"))
    })
}

/// Measures how threads are best split among instances, and says what it found.
fn tuned(model: &Arc<ServedModel>, options: TuneOptions, bound: Option<Duration>) -> Result<PoolOptions> {
    let splits = {
        let _spinner = Spinner::new("measuring instances and threads");
        tune(model, options).map_err(|error| refused(error, options.threads))?
    };
    for split in &splits {
        let (instances, threads) = (plural(split.pool.instances, "instance"), plural(split.pool.threads, "thread"));
        let (tokens, ms) = (split.tokens_per_second, split.latency.as_secs_f64() * 1e3);
        say(format_args!(
            "{instances} of {threads}: {tokens:.0} tokens/s, {ms:.2} ms per request under full load (median)"
        ));
    }
    match choose(&splits, bound) {
        Some((split, true)) => Ok(split.pool),
        Some((split, false)) => {
            let bound = bound.unwrap_or_default().as_secs_f64() * 1e3;
            let found = split.latency.as_secs_f64() * 1e3;
            say(format_args!(
                "warning: no choice answers within --latency-ms {bound}; took the soonest, {found:.2} ms"
            ));
            Ok(split.pool)
        }
        None => Ok(PoolOptions { instances: 1, threads: 1 }),
    }
}

/// Why a server does not start, as an error of the command.
fn refused(error: StartError, threads: usize) -> Error {
    match error {
        StartError::Threads(source) => Error::Threads { threads, source },
        error => Error::Argument {
            option: "--model",
            found: error.to_string(),
            expected: "models that can be served together".into(),
        },
    }
}

/// Ready when a signal asks for the end. SIGHUP loads all models again.
#[cfg(unix)]
fn signals(server: &Arc<Server>) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hang_up = signal(SignalKind::hangup())?;
    let server = Arc::clone(server);
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                _ = hang_up.recv() => reload(&server),
            }
        }
    })
}

/// Ready when Ctrl-C asks for the end.
#[cfg(not(unix))]
fn signals(_: &Arc<Server>) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    })
}

/// Loads all models again, in the background.
#[cfg(unix)]
fn reload(server: &Arc<Server>) {
    let server = Arc::clone(server);
    tokio::task::spawn_blocking(move || {
        for model in server.models() {
            if let Err(error) = server.reload(Some(model.name())) {
                say(error);
            }
        }
    });
}
