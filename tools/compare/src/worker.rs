//! The process that runs one engine: it reads requests, answers them, and ends when no more come.
//!
//! Every engine has its own process. So threads, environment and CPUs are those that were requested, this can be checked, and
//! an engine that crashes stops only its own process.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use lacuna_console::context::{Context, pool};
use lacuna_console::error::{Error, Result};
use lacuna_console::products::problem::{Weights, activations, checked_rows};
use lacuna_console::timing::{Timed, Work};
use lacuna_kernels::epilogue::Epilogue;
use lacuna_kernels::reference::gemm::gemm;
use lacuna_kernels::{ActivationBits, PanelLayout, Sign};

use super::engine::{Engine, OutputKind, Product, ProductCall, Stored};
use super::launch::WorkerArgs;
use super::protocol::{Agreement, ProductSpec, Reply, Request, to_bits};
use super::source::block_named;
use super::{engines, threads};

/// How long a product or model runs before it is timed.
const WARM_UP: Duration = Duration::from_millis(20);
/// Seconds of calls in a row while threads are watched: long enough for helpers to wake up on a busy machine.
const RUN_OF_CALLS: f64 = 0.05;
/// How long other threads may go on after a turn.
const REST: Duration = Duration::from_millis(100);

/// Distances from the exact result that are right, in steps of the 8-bit output: half a step of rounding, and what 16-bit
/// arithmetic adds to it.
const CODE_BOUND: f64 = 0.6;
/// The same for results that are not rounded to codes. Sums of K products in f32 are off by far less.
const REAL_BOUND: f64 = 0.02;

/// The worker's `main`.
pub(crate) fn run(args: &WorkerArgs, context: &Context) -> Result<()> {
    let mut lines = Lines::take()?;
    if !args.pin.is_empty() {
        threads::bind(&args.pin)?;
    }
    let threads = context.measuring_threads();
    pool(threads)?.install(|| {
        let mut engine = match engines::open(args.engine, args.library.as_deref(), context) {
            Ok(engine) => engine,
            Err(error) => return lines.answer(&Reply::Failed(error.one_line())),
        };
        lines.answer(&Reply::Opened { version: engine.version(), cpus: threads::allowed_cpus() })?;
        serve(&mut *engine, &mut lines, threads)
    })
}

/// Standard input and what was standard output: libraries that print do not disturb the conversation.
struct Lines {
    requests: BufReader<std::io::Stdin>,
    replies: File,
}

impl Lines {
    #[cfg(unix)]
    fn take() -> Result<Lines> {
        let replies = rustix::io::dup(std::io::stdout()).map_err(|error| Error::Stdout(error.into()))?;
        rustix::stdio::dup2_stdout(std::io::stderr()).map_err(|error| Error::Stdout(error.into()))?;
        Ok(Lines { requests: BufReader::new(std::io::stdin()), replies: File::from(replies) })
    }

    #[cfg(not(unix))]
    fn take() -> Result<Lines> {
        let (option, expected) =
            ("compare", "a Unix system, where engines can run as processes of their own".to_owned());
        Err(Error::Argument { option, found: std::env::consts::OS.to_owned(), expected })
    }

    /// The next request; nothing when the command has gone.
    fn next(&mut self) -> Result<Option<Request>> {
        let mut line = String::new();
        let read = self.requests.read_line(&mut line).map_err(|source| Error::Io {
            path: "standard input".into(),
            action: "read",
            source,
        })?;
        if read == 0 {
            return Ok(None);
        }
        let bad = |error: serde_json::Error| Error::Argument {
            option: "compare worker",
            found: format!("{:.60} ({error})", line.trim()),
            expected: "a request; it is started by the other compare commands".into(),
        };
        serde_json::from_str(&line).map(Some).map_err(bad)
    }

    fn answer(&mut self, reply: &Reply) -> Result<()> {
        let line = serde_json::to_string(reply).map_err(|error| Error::Stdout(error.into()))?;
        writeln!(self.replies, "{line}").and_then(|()| self.replies.flush()).map_err(Error::Stdout)
    }
}

/// Answers until no more requests come. A request that prepares something keeps it until the next such request.
fn serve(engine: &mut dyn Engine, lines: &mut Lines, threads: usize) -> Result<()> {
    let mut next = lines.next()?;
    while let Some(request) = next.take() {
        let mut later = None;
        let done = match &request {
            Request::Product(spec) => with_product(engine, spec, threads, lines, &mut later),
            Request::Model(files) => engine.load_model(files).and_then(|()| lines.answer(&Reply::Loaded)),
            Request::Batch { ids } => with_batch(engine, ids, lines, &mut later),
            _ => lines.answer(&Reply::Failed("nothing is ready to run".into())),
        };
        if let Err(error) = done {
            if matches!(error, Error::Stdout(_)) {
                return Err(error);
            }
            lines.answer(&Reply::Failed(error.one_line()))?;
            later = None;
        }
        next = match later {
            Some(Later::Request(request)) => Some(request),
            Some(Later::End) => None,
            None => lines.next()?,
        };
    }
    Ok(())
}

/// What came after the requests that concern what is ready.
enum Later {
    Request(Request),
    End,
}

fn with_product(
    engine: &mut dyn Engine,
    spec: &ProductSpec,
    threads: usize,
    lines: &mut Lines,
    later: &mut Option<Later>,
) -> Result<()> {
    let product = product(spec, threads)?;
    engine.with_product(&product, &mut |call| {
        let agreement = agreement(&product, call)?;
        lines.answer(&Reply::ProductReady { implementation: call.implementation(), agreement })?;
        let mut turns = Turns::default();
        *later = Some(loop {
            match lines.next()? {
                None => break Later::End,
                Some(request) => match turns.answer(&request, call)? {
                    Some(reply) => lines.answer(&reply)?,
                    None if request == Request::Breakdown => lines.answer(&Reply::Breakdown(None))?,
                    None => break Later::Request(request),
                },
            }
        });
        Ok(())
    })
}

fn with_batch(engine: &mut dyn Engine, ids: &[Vec<u32>], lines: &mut Lines, later: &mut Option<Later>) -> Result<()> {
    engine.with_batch(ids, &mut |call| {
        call.call()?;
        let embeddings = to_bits(&call.embeddings()?);
        lines.answer(&Reply::BatchReady { implementation: call.implementation(), embeddings })?;
        let mut turns = Turns::default();
        *later = Some(loop {
            match lines.next()? {
                None => break Later::End,
                Some(Request::Breakdown) => lines.answer(&Reply::Breakdown(call.breakdown()?))?,
                Some(request) => match turns.answer(&request, call)? {
                    Some(reply) => lines.answer(&reply)?,
                    None => break Later::Request(request),
                },
            }
        });
        Ok(())
    })
}

/// Timing what is ready.
#[derive(Default)]
struct Turns {
    /// Calls per sample, once known.
    calls: Option<u32>,
}

impl Turns {
    /// The reply to a request that concerns what is ready; nothing for others.
    fn answer<W: Work + ?Sized>(&mut self, request: &Request, work: &mut W) -> Result<Option<Reply>> {
        let reply = match *request {
            // As it is timed: call after call, by threads that are awake.
            Request::Prove { seconds } => {
                let once = work.time(1)?.as_secs_f64();
                let calls = (RUN_OF_CALLS / once.max(1e-9)).clamp(1.0, 1e6) as u32;
                Reply::Proof(threads::prove(duration(seconds), || work.time(calls).map(drop))?)
            }
            Request::Sample { count } => Reply::Samples(self.sample(count, work)?),
            Request::Run { seconds } => latencies(duration(seconds), work)?,
            _ => return Ok(None),
        };
        threads::wait_until_idle(REST);
        Ok(Some(reply))
    }

    fn sample<W: Work + ?Sized>(&mut self, count: usize, work: &mut W) -> Result<Vec<f64>> {
        let mut timed = match self.calls {
            Some(calls) => Timed::warm(work, calls),
            None => Timed::new(work, WARM_UP)?,
        };
        self.calls = Some(timed.calls_per_sample());
        (0..count).try_for_each(|_| timed.sample())?;
        Ok(timed.into_samples().into_seconds())
    }
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// Call after call, each with its time.
fn latencies<W: Work + ?Sized>(time: Duration, work: &mut W) -> Result<Reply> {
    work.call()?;
    let (start, mut calls) = (Instant::now(), Vec::new());
    let mut last = Duration::ZERO;
    while last < time || calls.is_empty() {
        work.call()?;
        let now = start.elapsed();
        calls.push((now - last).as_secs_f64());
        last = now;
    }
    Ok(Reply::Latencies { calls, elapsed: last.as_secs_f64() })
}

/// The product of a description: the same in every process.
fn product(spec: &ProductSpec, threads: usize) -> Result<Product> {
    let block = block_named(&spec.block)?;
    let bytes = Epilogue::requantize(PanelLayout::Plain, Sign::Unsigned);
    Ok(Product {
        weights: Weights::seeded(spec.m, spec.k, block, spec.sparsity, &bytes, spec.seed),
        x: Rc::new(activations(spec.k, spec.n, ActivationBits::Eight, spec.seed.wrapping_add(1))),
        output: spec.output,
        block,
        threads,
    })
}

/// Runs a product and compares it with the exact result: all rows, or as many as a moment allows.
fn agreement(product: &Product, call: &mut dyn ProductCall) -> Result<Agreement> {
    call.call()?;
    let Weights { m, k, ref values, ref params } = product.weights;
    let tokens = product.x.columns;
    let rows = checked_rows(m, k * tokens);
    let selected: Vec<i8> = rows.iter().flat_map(|&row| &values[row * k..][..k]).copied().collect();
    let sums = gemm(&selected, rows.len(), &product.x);
    let stored = call.stored();
    let (mut max, mut total) = (0.0f64, 0.0f64);
    for (i, &row) in rows.iter().enumerate() {
        let multiplier = f64::from(params[row].multiplier);
        for token in 0..tokens {
            let sum = f64::from(sums.at(i, token));
            let y = multiplier * sum + f64::from(params[row].addend);
            let found = call.value(row, token);
            let error = match (stored, product.output) {
                (Stored::Sums, _) => (found - sum).abs() * multiplier,
                (Stored::Codes, OutputKind::S8) => (found - y.clamp(-128.0, 127.0)).abs(),
                (Stored::Codes, _) => (found - y.clamp(0.0, 255.0)).abs(),
                (Stored::Real, _) => (found - y).abs(),
            };
            // A NaN stays the largest, because no comparison with it is true.
            max = if error > max || error.is_nan() { error } else { max };
            total += error;
        }
    }
    let bound = if stored == Stored::Codes { CODE_BOUND } else { REAL_BOUND };
    Ok(Agreement::new(max, total / (rows.len() * tokens) as f64, bound))
}
