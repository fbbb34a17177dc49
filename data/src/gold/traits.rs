//! What all kinds of gold answers have in common.

use std::path::Path;

use lacuna::heads::Head;
use lacuna::tasks::Task;

use crate::error::Result;

/// The name of a metric and its value.
pub type Score = (&'static str, f64);

/// A file of gold answers.
pub trait Gold: Sized {
    /// What the model does with its records.
    type Task: Task<Record: Clone>;

    /// What a record is called.
    const NOUN: &'static str;

    /// Reads a file.
    ///
    /// # Errors
    /// Those of the file, with its name and the line.
    fn read(path: &Path) -> Result<Self>;

    /// Finds the labels of the file among those of a head.
    ///
    /// # Errors
    /// An unknown label with its line; a head that gives no such answers.
    fn bind(&mut self, head: &Head) -> Result<()>;

    /// The task with its options.
    fn task(&self) -> Self::Task;

    /// The records, in the order of the file.
    fn records(&self) -> &[<Self::Task as Task>::Record];

    /// The line of a record, from 1.
    fn line(&self, record: usize) -> u64;

    /// The metrics of the rows of all records.
    fn scores(&self, rows: &[<Self::Task as Task>::Row]) -> Vec<Score>;
}
