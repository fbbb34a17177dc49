//! How long an encoder takes from texts to vectors.

use lacuna::{Cancel, Encoder};
use lacuna_measure::texts::{self, Batch, BatchError, Figures};
use lacuna_measure::timing::in_turn;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pythonize::pythonize;

use crate::call::{beside, check, check_fork};
use crate::compute::Compute;
use crate::encoder::PyEncoder;
use crate::error::{self, OrRaise};
use crate::threads::Threads;

/// Times batches of texts: the rows of `lacuna bench text --json`. `lacuna.bench` has the defaults and says what the options are.
#[pyfunction]
#[pyo3(signature = (encoder, *, name, texts, batch, seq, repeats, threads))]
#[allow(clippy::too_many_arguments)] // they have names
pub(crate) fn bench<'py>(
    py: Python<'py>,
    encoder: &PyEncoder,
    name: &str,
    texts: Option<Vec<String>>,
    batch: Vec<usize>,
    seq: Vec<usize>,
    repeats: usize,
    threads: usize,
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    check_fork(py, encoder.process)?;
    if repeats == 0 {
        return Err(error::option(py, "repeats", "0", "at least 1"));
    }
    if texts.as_ref().is_some_and(Vec::is_empty) {
        return Err(error::option(py, "texts", "none", "at least one"));
    }
    if let Some(option) = [("batch", &batch), ("seq", &seq)].into_iter().find(|(_, sizes)| sizes.contains(&0)) {
        return Err(error::option(py, option.0, "0", "at least 1"));
    }
    let Compute::Int8(inner) = &encoder.compute else {
        let found = encoder.compute.name();
        return Err(error::option(
            py,
            "compute",
            found,
            "int8: the f32 reference is there for its values, not for its speed",
        ));
    };
    let batches = py.detach(|| batches(inner, texts.as_deref(), &batch, &seq)).map_err(|error| match error {
        BatchError::Option { option, found, expected } => error::option(py, option, &found, &expected),
        BatchError::Library(error) => Err::<(), _>(error).or_raise(py).unwrap_err(),
        other => error::new(py, "internal", &other.to_string()),
    })?;
    let pool = Threads::new(py, Some(threads))?;
    let cancel = Cancel::new();
    let figures = beside(
        py,
        &pool,
        &cancel,
        |_| Ok(()),
        || batches.iter().map(|batch| time(inner, batch, repeats, &cancel)).collect::<lacuna::Result<Vec<_>>>(),
    )?
    .or_raise(py)?;
    let row = |(batch, figures): (&Batch, Option<Figures>)| row(py, inner, name, batch, threads, figures.as_ref());
    batches.iter().zip(figures).map(row).collect()
}

fn batches(
    encoder: &Encoder,
    given: Option<&[String]>,
    batch: &[usize],
    seq: &[usize],
) -> Result<Vec<Batch>, BatchError> {
    let tokenizer = texts::tokenizer(encoder)?;
    let mut all = Vec::new();
    for &batch in batch {
        match given {
            Some(texts) => all.push(Batch::of_texts(texts, batch)?),
            None => {
                for &seq in seq {
                    all.push(Batch::made_up(tokenizer, batch, seq)?);
                }
            }
        }
    }
    Ok(all)
}

fn time(encoder: &Encoder, batch: &Batch, repeats: usize, cancel: &Cancel) -> lacuna::Result<Option<Figures>> {
    texts::time(encoder, &batch.texts, |[whole, tokenizing, encoding]| {
        let mut whole = || check(cancel).and_then(|()| whole());
        let mut tokenizing = || check(cancel).and_then(|()| tokenizing());
        let mut encoding = || check(cancel).and_then(|()| encoding());
        in_turn(&mut [&mut whole, &mut tokenizing, &mut encoding], texts::WARM_UP, repeats)
    })
}

/// A row with the keys of the command, in its order.
fn row<'py>(
    py: Python<'py>,
    encoder: &Encoder,
    name: &str,
    batch: &Batch,
    threads: usize,
    figures: Option<&Figures>,
) -> PyResult<Bound<'py, PyDict>> {
    let row = PyDict::new(py);
    row.set_item("kernel", "text")?;
    row.set_item("name", name)?;
    row.set_item("batch", batch.texts.len())?;
    match batch.seq {
        Some(seq) => row.set_item("seq", seq)?,
        None => row.set_item("seq", "input")?,
    }
    row.set_item("sparsity", texts::zeros(encoder, 0.0))?;
    row.set_item("threads", threads)?;
    row.set_item("caches", "hot")?;
    row.set_item("tier", encoder.report().tier)?;
    if let Some(figures) = figures {
        row.update(pythonize(py, figures)?.cast::<PyDict>()?.as_mapping())?;
    }
    Ok(row)
}

/// The defaults of the command: texts per batch, tokens per text, samples.
#[pyfunction]
pub(crate) fn bench_defaults() -> (Vec<usize>, Vec<usize>, usize) {
    (texts::BATCH.to_vec(), texts::SEQ.to_vec(), texts::REPEATS)
}
