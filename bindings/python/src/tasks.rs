//! Models with a head.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use lacuna::errors::ModelError;
use lacuna::heads::{Head, HeadKind};
use lacuna::tasks::{
    Aggregation, AnswerOptions, AnswerRecord, AnswerTask, Backbone, LabelScheme, MaskFiller, TagOptions, Task,
    TaskModel, TokenClassifier,
};
use lacuna::{Cancel, TextInput};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyList;
use pythonize::pythonize;

use crate::call::{beside, check_fork};
use crate::embed::{Cut, Vectors, check_length, chunk_len, cuts, located, moved, report, rows, typed};
use crate::encoder::PyEncoder;
use crate::error::{self, OrRaise};
use crate::inputs::Input;

/// The head of a model, which must be of a kind.
fn require(py: Python<'_>, model: &PyEncoder, kind: HeadKind) -> PyResult<Arc<Head>> {
    let missing = || ModelError::NoHead { path: "this model".into(), found: "none".into(), expected: kind.class() };
    let head = model.head.as_ref().ok_or_else(missing).or_raise(py)?;
    head.require(kind).or_raise(py)?;
    Ok(Arc::clone(head))
}

/// Runs a task so that Ctrl-C stops it.
fn run<T: Send>(
    py: Python<'_>,
    model: &PyEncoder,
    kind: HeadKind,
    work: impl FnOnce(Arc<dyn Backbone>, Arc<Head>) -> lacuna::Result<T> + Send,
) -> PyResult<T> {
    check_fork(py, model.process)?;
    let head = require(py, model, kind)?;
    let cancel = Cancel::new();
    let user = Arc::new(model.compute.user(cancel.clone()));
    beside(py, &model.threads, &cancel, |_| Ok(()), || work(user, head))?.or_raise(py)
}

/// The logits of a sequence classification.
pub(crate) fn logits<'py>(
    py: Python<'py>,
    model: &PyEncoder,
    inputs: &[Input],
    max_length: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Vectors<'py>> {
    check_fork(py, model.process)?;
    check_length(py, model, max_length)?;
    let head = require(py, model, HeadKind::SequenceClassification)?;
    let user = model.compute.user(Cancel::new());
    let limit = max_length.unwrap_or(model.limit());
    let labels = head.labels().len();
    let done = AtomicUsize::new(0);
    let work = || {
        let mut values = Vec::with_capacity(inputs.len() * labels);
        let mut all_cuts: Vec<Cut> = Vec::new();
        let mut start = 0;
        while start < inputs.len() {
            let length = chunk_len(&inputs[start..], Input::bytes);
            let chunk: Vec<TextInput<'_>> = inputs[start..start + length].iter().map(Input::as_input).collect();
            let tokens = located(model, &chunk, limit).map_err(|error| moved(error, start))?;
            for states in user.states(&typed(&tokens)).map_err(|error| moved(error, start))? {
                values.extend(head.logits(&states)?.data);
            }
            all_cuts.extend(cuts(&tokens).into_iter().map(|(input, found, kept)| (start + input, found, kept)));
            start += length;
            done.store(start, Relaxed);
        }
        Ok::<_, lacuna::Error>((values, all_cuts))
    };
    let look = |py: Python<'_>| report(py, progress.as_ref(), done.load(Relaxed));
    let (values, cuts) = beside(py, &model.threads, user.cancel(), look, work)?.or_raise(py)?;
    report(py, progress.as_ref(), done.load(Relaxed))?;
    Ok((rows(py, values, inputs.len(), labels)?, cuts))
}

/// The labelled spans of every text.
pub(crate) fn tag<'py>(
    py: Python<'py>,
    model: &PyEncoder,
    texts: &[PyBackedStr],
    aggregation: &str,
    scheme: Option<&str>,
    overlap: Option<usize>,
) -> PyResult<Bound<'py, PyList>> {
    let aggregation: Aggregation = match aggregation.parse() {
        Ok(aggregation) => aggregation,
        Err(_) => {
            let names = Aggregation::ALL.map(Aggregation::name).join(", ");
            return Err(error::option(py, "aggregation", aggregation, &names));
        }
    };
    let scheme = scheme.map(|name| {
        let names = || LabelScheme::ALL.map(LabelScheme::name).join(", ");
        name.parse::<LabelScheme>().map_err(|_| error::option(py, "scheme", name, &names()))
    });
    let options = TagOptions { aggregation, scheme: scheme.transpose()?, overlap };
    let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
    let all = run(py, model, HeadKind::TokenClassification, |backbone, head| {
        TokenClassifier::new(backbone, head)?.tag(&texts, &options)
    })?;
    let entities = all.iter().map(|entities| pythonize(py, entities)).collect::<Result<Vec<_>, _>>()?;
    PyList::new(py, entities)
}

/// Answers for every question and context.
pub(crate) fn answer<'py>(
    py: Python<'py>,
    model: &PyEncoder,
    inputs: Vec<(String, String)>,
    options: AnswerOptions,
) -> PyResult<Bound<'py, PyAny>> {
    let records: Vec<AnswerRecord> =
        inputs.into_iter().map(|(question, context)| AnswerRecord::new(question, context)).collect();
    let rows = run(py, model, HeadKind::QuestionAnswering, |backbone, head| {
        let model = TaskModel::new(backbone).with_head(head);
        Ok(AnswerTask { options }.run(&model, &records)?.rows)
    })?;
    let answers: Vec<_> = rows.into_iter().map(|row| row.answers).collect();
    Ok(pythonize(py, &answers)?)
}

/// Candidates for every mask of every text.
pub(crate) fn fill<'py>(
    py: Python<'py>,
    model: &PyEncoder,
    texts: &[PyBackedStr],
    top_k: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
    let masks =
        run(py, model, HeadKind::MaskedLm, |backbone, head| MaskFiller::new(backbone, head)?.fill(&texts, top_k))?;
    Ok(pythonize(py, &masks)?)
}
