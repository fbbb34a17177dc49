//! A run in progress: batches in, rows out, and what happens to lines that give none.

use lacuna::tasks::{Task, TaskModel};
use lacuna_console::error::{Error, Result};
use lacuna_console::input::Input;
use lacuna_console::output::Target;
use lacuna_console::partial::{Partial, partial_path};
use lacuna_console::progress::{Done, Progress};
use lacuna_console::remarks;
use lacuna_console::stream::Stream;

use super::args::TaskArgs;
use super::gather::{Bounds, Item, gather, gather_all};
use super::isolate::{self, Isolated};
use super::journal::{Counts, Identity, Journal};
use super::policy::{BadLine, OnError, Warnings};
use super::reading::Reading;
use super::sink::Sink;
use super::trace::Trace;
use super::truncations::{Truncated, Truncations};

/// A run in progress.
pub(super) struct Run<'a, T: Task, S> {
    pub(super) task: &'a T,
    pub(super) reading: Reading<'a, T::Record>,
    pub(super) model: TaskModel,
    /// The f32 reference, if the results are compared with it.
    pub(super) reference: Option<TaskModel>,
    pub(super) sink: S,
    pub(super) out: Stream,
    pub(super) input: Input,
    pub(super) journal: Option<Journal>,
    pub(super) trace: Trace,
    pub(super) on_error: OnError,
    /// Whether an interrupted run can go on.
    pub(super) can_resume: bool,
    pub(super) rows: u64,
    pub(super) warnings: Warnings,
    pub(super) truncated: Truncations,
    pub(super) kept: Kept<T>,
    pub(super) progress: Progress,
    /// What is said before the first result, or at the end. A run that is refused says only why.
    pub(super) remarks: Vec<String>,
    /// What makes results less accurate than they could be: said with the remarks, at every level.
    pub(super) doubts: Vec<String>,
}

/// Rows for the comparison with the reference.
pub(super) struct Kept<T: Task> {
    pub(super) rows: Vec<T::Row>,
    pub(super) reference: Vec<T::Row>,
}

impl<T: Task, S: Sink<T::Row>> Run<'_, T, S> {
    /// Everything, up to the first error.
    pub(super) fn all(&mut self, args: &TaskArgs, per_text: usize) -> Result<()> {
        let bounds = args.bounds(per_text, self.on_error);
        if self.reading.is_one() {
            return self.one(bounds);
        }
        loop {
            let batch = gather(&mut self.input, &self.reading, bounds, &mut self.trace)?;
            let is_last = batch.is_last;
            self.batch(batch.items)?;
            self.trace.answer();
            self.out.flush_results()?;
            if let Some(journal) = &mut self.journal {
                let counts = Counts { rows: self.rows, bad: self.warnings.count(), truncated: self.truncated.count };
                // Before a wait for more input everything is saved.
                let now = is_last || !self.input.is_ready()?;
                journal.save(&mut self.out, &self.trace, counts, now)?;
            }
            if is_last {
                return Ok(());
            }
            let (read, size) = self.input.progress();
            self.progress.update(Done { texts: self.rows, read, size });
        }
    }

    /// One result of all lines.
    fn one(&mut self, bounds: Bounds) -> Result<()> {
        let (record, lines, bad) = gather_all(&mut self.input, &self.reading, bounds)?;
        self.trace.count(lines.len() as u64);
        for bad in bad {
            self.bad(bad)?;
        }
        let records = [record];
        let Isolated { rows, truncated } = isolate::run(self.task, &self.model, &records, true)?;
        truncated.iter().for_each(|cut| self.truncated.add(Truncated::of_one(cut, &lines)));
        for row in rows {
            match row {
                Ok(row) => self.row(row)?,
                Err(reason) => return Err(self.error(lines.first().copied().unwrap_or(1), reason)),
            }
        }
        self.compare(&records)
    }

    fn batch(&mut self, items: Vec<Item<T::Record>>) -> Result<()> {
        let fields = self.reading.fields;
        let stops = self.on_error == OnError::Stop;
        let (mut records, mut lines, mut places) = (Vec::new(), Vec::new(), Vec::new());
        // Either the place of a record, or a line that is none.
        for mut item in items {
            let record = std::mem::replace(&mut item.record, Err(String::new()));
            match record {
                Ok(record) => {
                    records.push(record);
                    lines.push(item.line);
                    places.push((item, None));
                }
                Err(reason) => {
                    let bad = item.bad(reason, fields);
                    places.push((item, Some(bad)));
                }
            }
        }
        let Isolated { rows, truncated } = isolate::run(self.task, &self.model, &records, stops)?;
        let line = |number: usize| lines.get(number).copied().unwrap_or(0);
        for cut in truncated {
            let cut = Truncated::new(cut, line);
            self.progress.pause(|| self.truncated.add(cut));
        }
        let mut rows = rows.into_iter();
        let mut good = Vec::new();
        let mut records = records.into_iter();
        for (item, bad) in places {
            let bad = match bad {
                Some(bad) => bad,
                None => {
                    let record = records.next();
                    match rows.next() {
                        Some(Ok(row)) => {
                            self.row(row)?;
                            good.extend(record.filter(|_| self.reference.is_some()));
                            continue;
                        }
                        Some(Err(reason)) => item.bad(reason, fields),
                        None => break, // the run ended before it
                    }
                }
            };
            self.bad(bad)?;
        }
        self.compare(&good)
    }

    /// What is said before the first result.
    pub(super) fn say_remarks(&mut self) {
        let (said, doubts) = (std::mem::take(&mut self.remarks), std::mem::take(&mut self.doubts));
        self.progress.pause(|| {
            said.into_iter().for_each(remarks::say);
            doubts.into_iter().for_each(remarks::warn);
        });
    }

    fn row(&mut self, row: T::Row) -> Result<()> {
        self.say_remarks();
        self.sink.row(&mut self.out, &row).map_err(|error| self.out.failed(error))?;
        self.rows += 1;
        if self.reference.is_some() {
            self.kept.rows.push(row);
        }
        Ok(())
    }

    /// A line that gives no result: ends the run, or not.
    fn bad(&mut self, bad: BadLine) -> Result<()> {
        if self.on_error == OnError::Stop {
            return Err(self.error(bad.line, bad.reason));
        }
        self.say_remarks();
        let name = self.input.name().display().to_string();
        self.progress.pause(|| self.warnings.warn(&name, &bad, self.on_error));
        if self.on_error == OnError::Null {
            self.sink.null(&mut self.out, &bad).map_err(|error| self.out.failed(error))?;
            self.rows += 1;
        }
        Ok(())
    }

    fn error(&self, line: u64, reason: String) -> Error {
        Error::Line { path: self.input.name().to_owned(), line, reason }
    }

    /// Runs the reference on the records of a batch.
    fn compare(&mut self, records: &[T::Record]) -> Result<()> {
        if let (Some(reference), false) = (&self.reference, records.is_empty()) {
            self.kept.reference.extend(self.task.run(reference, records)?.rows);
        }
        Ok(())
    }

    /// Keeps the results of the lines before the one that ended the run, and says where they are.
    pub(super) fn end_early(
        mut self,
        error: Error,
        target: &Target,
        identity: impl FnOnce() -> Result<Identity>,
    ) -> Error {
        let Error::Line { path, line, mut reason } = error else { return error };
        let kept = (|| -> Result<Option<std::path::PathBuf>> {
            if matches!(target, Target::File(_)) && !self.can_resume {
                return Ok(None); // results that only all lines together give
            }
            self.sink.finish(&mut self.out).map_err(|error| self.out.failed(error))?;
            let Target::File(file) = target else {
                self.out.finish()?;
                return Ok(None);
            };
            if self.rows == 0 && self.journal.is_none() {
                return Ok(None); // nothing was computed
            }
            // The line that ended the run is not among those that are answered.
            let mut journal = match self.journal {
                Some(journal) => journal,
                None => {
                    Partial::check(file)?; // another run's are not replaced
                    Journal::new(file, identity()?)
                }
            };
            let counts = Counts { rows: self.rows, bad: self.warnings.count(), truncated: self.truncated.count };
            self.trace.answer_before(line);
            journal.save(&mut self.out, &self.trace, counts, true)?;
            self.out.keep_partial()?;
            Ok(Some(partial_path(file)))
        })();
        match kept {
            Err(Error::Busy { path }) => {
                reason +=
                    &format!("; the results of the lines before it are lost: another run writes {}", path.display());
            }
            Err(error) => return error,
            Ok(Some(partial)) => {
                reason += &format!(
                    "; the results of the lines before it are in {}: correct the line and repeat the command with --resume",
                    partial.display()
                );
            }
            Ok(None) => {}
        }
        Error::Line { path, line, reason }
    }
}
