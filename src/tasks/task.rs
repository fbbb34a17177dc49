//! What programs do with a model: the command, a server, a binding for another language.

use std::fmt::Display;
use std::io;

use lacuna_model::TextInput;
use serde::Serialize;

use super::error::RecordError;
use super::model::TaskModel;
use super::truncated::TruncatedInput;
use crate::error::Result;
use crate::heads::HeadKind;

/// A task: records in, rows out.
///
/// A value of a task holds its options only. It runs on any [`TaskModel`], so that one value serves many models, and the same records go
/// through the compiled encoder and the f32 reference. The trait is object-safe: `dyn Task<Record = R, Row = S, Agreement = A>`.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use lacuna::{Compile, Model};
/// use lacuna::tasks::{ClassifyTask, Row, Task, TaskModel};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let task = ClassifyTask { top_k: Some(1) };
/// let records = [task.parse(r#"{"text": "A fine film."}"#)?];
/// let model = Model::open("distilbert-base-uncased-finetuned-sst-2-english")?;
/// let head = model.head()?;
/// let encoder = model.calibration().run_default()?.compile()?;
/// let model = TaskModel::new(Arc::new(encoder)).with_head(head);
/// for row in task.run(&model, &records)?.rows {
///     row.write_json(&mut std::io::stdout())?;
/// }
/// # Ok(())
/// # }
/// ```
pub trait Task: Send + Sync {
    /// What it reads: a line of the input.
    type Record: Record;
    /// What it writes: a line of the output.
    type Row: Row;
    /// What a comparison with the f32 reference says, in numbers and in words.
    type Agreement: Serialize + Display + Judged;

    /// The name of the command that does it.
    fn name(&self) -> &'static str;

    /// The head that it needs; `None` for embeddings, which need none.
    fn head_kind(&self) -> Option<HeadKind>;

    /// Runs a batch. Rows are in the order of the records, one for each.
    ///
    /// # Errors
    /// [`ModelError::NoHead`](crate::errors::ModelError::NoHead) or [`WrongHead`](crate::errors::ModelError::WrongHead) for a model without the head that the task needs,
    /// and those of the task.
    fn run(&self, model: &TaskModel, records: &[Self::Record]) -> Result<TaskOutput<Self::Row>>;

    /// How far rows agree with those of the same records on the f32 reference.
    fn agreement(&self, rows: &[Self::Row], reference: &[Self::Row]) -> Self::Agreement;

    /// Parses a line of JSON.
    ///
    /// # Errors
    /// [`RecordError`], which names the field.
    fn parse(&self, line: &str) -> Result<Self::Record, RecordError> {
        Self::Record::parse(line)
    }
}

/// One number of a comparison with the f32 reference that decides whether the results are good enough.
pub trait Judged {
    /// What the number is, for messages.
    const MEASURE: &'static str;
    /// The bound that decides unless another is asked for: less is a failure.
    const ENOUGH: f64;

    /// The number.
    fn measure(&self) -> f64;

    /// Whether nothing was compared: then the number says nothing.
    fn is_empty(&self) -> bool;
}

/// What a task reads: a line of the input.
pub trait Record: Sized + Send + Sync {
    /// What a line of JSON looks like, for errors.
    const FORMAT: &'static str;

    /// Parses a line of JSON.
    ///
    /// # Errors
    /// [`RecordError`], which names the field.
    fn parse(line: &str) -> Result<Self, RecordError>;

    /// The texts and pairs that the model reads, for calibration on a file of records.
    fn inputs(&self) -> Vec<TextInput<'_>>;
}

/// What a task writes: a line of the output.
pub trait Row: Send {
    /// Writes the row as one JSON object, without a line break.
    ///
    /// # Errors
    /// Those of `out`.
    fn write_json(&self, out: &mut dyn io::Write) -> io::Result<()>;
}

impl<T: Serialize + Send> Row for T {
    fn write_json(&self, out: &mut dyn io::Write) -> io::Result<()> {
        Ok(serde_json::to_writer(out, self)?)
    }
}

/// The rows of a batch, and what of the records was not used.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskOutput<T> {
    /// One per record.
    pub rows: Vec<T>,
    /// The inputs that were truncated.
    pub truncated: Vec<TruncatedInput>,
}
