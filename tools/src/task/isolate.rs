//! Running a batch so that a record that fails does not take the others with it, with errors in the words of the command.

use lacuna::tasks::{Task, TaskModel};
use lacuna_console::error::Result;
pub(crate) use lacuna_data::isolate::Isolated;

use super::overlap;

/// Runs all records; with `stops` up to the first that fails.
pub(crate) fn run<T: Task>(task: &T, model: &TaskModel, records: &[T::Record], stops: bool) -> Result<Isolated<T>> {
    Ok(lacuna_data::isolate::run(task, model, records, stops, overlap::in_words)?)
}
