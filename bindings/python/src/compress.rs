//! A dense model to a sparse one.
//!
//! The work runs on threads of its own. The thread of Python waits without the GIL, and takes it to run handlers of signals. What is said goes to the log, and to
//! the `progress` of the caller, which is called on one of the other threads.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lacuna::Block;
use lacuna::config::Activation;
use lacuna_compress::times::Times;
use lacuna_compress::{Event, Method, Observer, Options, Plan, Rounding, Shape, Stage, Stop};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::Serialize;

use crate::call::{EndOnDrop, Ended, LOOK};
use crate::closing::{self, Active};
use crate::encoder::tier;
use crate::error;

/// Compresses a model and gives the summary. `lacuna.compress` has the defaults and says what the options are.
#[pyfunction]
#[pyo3(signature = (
    model, out, *, name, sparsity, block, speedup, target_ms, seq, keep_order, start_sparsity, heads, ffn, activation, method, lock, layers,
    labelled, labelled_dev, new_head, temperature, data, pairs, train_pairs, teacher, time, steps, batch, learning_rate, train_embeddings,
    rounding, calibration_tokens, seed, small_tables, resume, threads, tier, command, progress
))]
#[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)] // they have names
pub(crate) fn compress<'py>(
    py: Python<'py>,
    model: PathBuf,
    out: PathBuf,
    name: String,
    sparsity: Option<f64>,
    block: Option<&str>,
    speedup: Option<f64>,
    target_ms: Option<f64>,
    seq: usize,
    keep_order: bool,
    start_sparsity: Option<f64>,
    heads: Option<usize>,
    ffn: Option<usize>,
    activation: Option<&str>,
    method: &str,
    lock: bool,
    layers: Option<usize>,
    labelled: Option<PathBuf>,
    labelled_dev: Option<PathBuf>,
    new_head: bool,
    temperature: f64,
    data: Vec<PathBuf>,
    pairs: Option<PathBuf>,
    train_pairs: Option<PathBuf>,
    teacher: Option<PathBuf>,
    time: Option<f64>,
    steps: Option<usize>,
    batch: usize,
    learning_rate: Option<f64>,
    train_embeddings: bool,
    rounding: &str,
    calibration_tokens: usize,
    seed: u64,
    small_tables: bool,
    resume: bool,
    threads: Option<usize>,
    tier: Option<&str>,
    command: String,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let options = Options {
        name,
        sparsity,
        block: block.map(|block| shape(py, block)).transpose()?,
        speedup,
        target_ms,
        seq,
        keep_order,
        start_sparsity,
        heads,
        ffn,
        activation: activation.map(|name| self::activation(py, name)).transpose()?,
        method: match method {
            "one-shot" => Method::OneShot,
            "distil" => Method::Distil,
            _ => return Err(error::option(py, "method", method, "one-shot or distil")),
        },
        lock,
        layers,
        labelled,
        labelled_dev,
        new_head,
        temperature,
        data,
        pairs,
        train_pairs,
        teacher,
        time: time.map(|seconds| self::time(py, seconds)).transpose()?,
        steps,
        batch,
        learning_rate,
        train_embeddings,
        rounding: match rounding {
            "auto" => Rounding::Auto,
            "always" => Rounding::Always,
            "never" => Rounding::Never,
            _ => return Err(error::option(py, "rounding", rounding, "auto, always or never")),
        },
        calibration_tokens,
        seed,
        small_tables,
        resume,
        threads,
        tier: self::tier(py, tier)?,
        command,
        ..Options::new(model, out)
    };
    let summary = run(py, &options, progress)?;
    json(py, &summary)
}

/// A value as Python reads its JSON: lists in place of tuples, `None` in place of NaN.
fn json<'py>(py: Python<'py>, value: &impl Serialize) -> PyResult<Bound<'py, PyAny>> {
    let text = serde_json::to_string(value).map_err(|error| PyRuntimeError::new_err(format!("lacuna: {error}")))?;
    py.import("json")?.call_method1("loads", (text,))
}

/// The defaults of the library, by option: what the signature of `lacuna.compress` must say.
#[pyfunction]
pub(crate) fn compress_defaults(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let options = Options::new("", "");
    let all = PyDict::new(py);
    all.set_item("seq", options.seq)?;
    all.set_item("temperature", options.temperature)?;
    all.set_item("batch", options.batch)?;
    all.set_item("calibration_tokens", options.calibration_tokens)?;
    all.set_item("seed", options.seed)?;
    all.set_item("rounding", options.rounding.to_string())?;
    all.set_item("method", if options.method == Method::Distil { "distil" } else { "one-shot" })?;
    all.set_item("names", lacuna_compress::OPTIONS)?;
    Ok(all)
}

fn shape(py: Python<'_>, text: &str) -> PyResult<Shape> {
    let names = Block::ALL.map(|block| block.name()).join(", ");
    text.parse().map_err(|_| error::option(py, "block", text, &format!("auto or one of {names}")))
}

fn activation(py: Python<'_>, name: &str) -> PyResult<Activation> {
    match name {
        "gelu" => Ok(Activation::Gelu),
        "gelu-tanh" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        _ => Err(error::option(py, "activation", name, "gelu, gelu-tanh or relu")),
    }
}

fn time(py: Python<'_>, seconds: f64) -> PyResult<Duration> {
    let wrong = |_| error::option(py, "time", &seconds.to_string(), "a number of seconds above 0");
    Duration::try_from_secs_f64(seconds).map_err(wrong)
}

/// Runs on another thread, while this one looks after signals.
fn run(py: Python<'_>, options: &Options, progress: Option<Py<PyAny>>) -> PyResult<lacuna_compress::Summary> {
    let _active = Active::begin(py)?;
    let stop = AtomicBool::new(false);
    let raised = Mutex::new(None);
    let (done, raised) = py.detach(|| {
        let ended = Ended::default();
        let mut teller = Teller { progress, stop: &stop, raised: &raised };
        let done = std::thread::scope(|scope| {
            let work = scope.spawn(|| {
                let _end = EndOnDrop(&ended);
                lacuna_compress::compress(options, &mut teller, Stop::abandoning(&stop)).map_err(Box::new) // it is large
            });
            while !ended.wait(LOOK) {
                if closing::is_closing() {
                    stop.store(true, Relaxed);
                } else if !stop.load(Relaxed)
                    && let Err(error) = Python::attach(|py| py.check_signals())
                {
                    raise(&raised, &stop, error);
                }
            }
            work.join()
        });
        (done, raised.into_inner().unwrap_or_else(PoisonError::into_inner))
    });
    match (raised, done) {
        (Some(error), _) => Err(error),
        (None, Err(_)) => Err(error::panicked()),
        (None, Ok(done)) => done.map_err(|error| error::new(py, error::name(error.kind()), &plain(&error.to_string()))),
    }
}

/// Keeps the first exception, and stops the run.
fn raise(raised: &Mutex<Option<PyErr>>, stop: &AtomicBool, error: PyErr) {
    raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    stop.store(true, Relaxed);
}

/// A message with the names of options as Python writes them.
fn plain(text: &str) -> String {
    let mut out = text.to_owned();
    for name in lacuna_compress::OPTIONS {
        out = out.replace(&format!("`{name}`"), name);
    }
    out
}

/// Tells Python what happens.
struct Teller<'a> {
    progress: Option<Py<PyAny>>,
    stop: &'a AtomicBool,
    raised: &'a Mutex<Option<PyErr>>,
}

impl Teller<'_> {
    /// Calls `progress` with a dictionary. An exception stops the run.
    fn tell(&self, make: impl for<'py> FnOnce(Python<'py>) -> PyResult<Bound<'py, PyAny>>) {
        let Some(progress) = &self.progress else { return };
        if self.stop.load(Relaxed) || closing::is_closing() {
            return;
        }
        if let Err(error) = Python::attach(|py| progress.call1(py, (make(py)?,)).map(drop)) {
            raise(self.raised, self.stop, error);
        }
    }

    fn text(&self, event: &'static str, text: &str) {
        self.tell(|py| {
            let event = dict(py, event)?;
            event.set_item("text", text)?;
            Ok(event.into_any())
        });
    }
}

fn dict<'py>(py: Python<'py>, event: &str) -> PyResult<Bound<'py, PyDict>> {
    let all = PyDict::new(py);
    all.set_item("event", event)?;
    Ok(all)
}

impl Observer for Teller<'_> {
    fn begin(&mut self, stage: &Stage) {
        let text = stage.to_string();
        self.tell(|py| {
            let event = dict(py, "stage")?;
            event.set_item("stage", stage.name())?;
            event.set_item("text", text)?;
            Ok(event.into_any())
        });
    }

    fn remark(&mut self, text: &str) {
        let text = plain(text);
        log::info!(target: "lacuna::compress", "{text}");
        self.text("remark", &text);
    }

    fn warning(&mut self, text: &str) {
        let text = plain(text);
        log::warn!(target: "lacuna::compress", "{text}");
        self.text("warning", &text);
    }

    fn event(&mut self, event: &Event) {
        self.tell(|py| json(py, event));
    }

    fn times(&mut self, times: &Times) {
        self.tell(|py| {
            let event = dict(py, "times")?;
            event.set_item("times", json(py, times)?)?;
            Ok(event.into_any())
        });
    }

    fn plan(&mut self, plan: &Plan) {
        self.tell(|py| {
            let event = dict(py, "plan")?;
            event.set_item("plan", json(py, plan)?)?;
            Ok(event.into_any())
        });
    }
}
