//! Running a batch so that a record that fails does not take the others with it.

use lacuna::tasks::{Record, Task, TaskModel, TaskOutput, TruncatedInput};
use lacuna::{Error, ErrorKind};

/// The rows of a batch, in its order, and what of it was truncated. `place[0]` of a truncated input counts in the batch.
pub struct Isolated<T: Task> {
    /// One per record, up to the first failure if the run ends there.
    pub rows: Vec<Result<T::Row, String>>,
    /// Inputs that were truncated.
    pub truncated: Vec<TruncatedInput>,
}

/// Runs all records at once. If that fails, halves are run, and so on until the records that fail are alone: results do not depend on what else is in
/// a batch. With `stops` the run ends at the first record that fails. `in_words` may say an error in words of its own.
///
/// # Errors
/// Those that no other record would avoid.
pub fn run<T: Task>(
    task: &T,
    model: &TaskModel,
    records: &[T::Record],
    stops: bool,
    in_words: fn(&Error) -> Option<String>,
) -> Result<Isolated<T>, Error> {
    let mut isolated = Isolated { rows: Vec::with_capacity(records.len()), truncated: Vec::new() };
    if !records.is_empty() {
        isolated.add(&Run { task, model, stops, in_words }, records)?;
    }
    Ok(isolated)
}

/// What stays the same for all parts of a batch.
struct Run<'a, T> {
    task: &'a T,
    model: &'a TaskModel,
    stops: bool,
    in_words: fn(&Error) -> Option<String>,
}

impl<T: Task> Isolated<T> {
    /// Whether the run goes on.
    fn add(&mut self, run: &Run<'_, T>, records: &[T::Record]) -> Result<bool, Error> {
        match run.task.run(run.model, records) {
            Ok(TaskOutput { rows, truncated, .. }) => {
                let before = self.rows.len();
                self.truncated.extend(truncated.into_iter().map(|mut cut| {
                    cut.place.first_mut().into_iter().for_each(|(_, number)| *number += before);
                    cut
                }));
                self.rows.extend(rows.into_iter().map(Ok));
                Ok(true)
            }
            Err(error) if !is_of_input(&error) => Err(error),
            Err(error) => match records {
                [record] => {
                    let is_one = record.inputs().len() == 1;
                    let said = (run.in_words)(&error).unwrap_or_else(|| error.to_string());
                    self.rows.push(Err(if is_one { without_place(&said) } else { said }));
                    Ok(!run.stops)
                }
                _ => {
                    let (first, second) = records.split_at(records.len() / 2);
                    Ok(self.add(run, first)? && self.add(run, second)?)
                }
            },
        }
    }
}

/// Whether another input could do better: texts and tokens that the model cannot take, texts that the tokenizer fails on, and questions that leave too
/// little room for an overlap.
fn is_of_input(error: &Error) -> bool {
    let is_tokenizer = matches!(error, Error::Model(lacuna::errors::ModelError::Tokenizer { .. }));
    let is_overlap = matches!(error, Error::HeadOption { option: "overlap", .. });
    error.kind() == ErrorKind::InvalidInput || is_tokenizer || is_overlap
}

/// A message of the library without the number of the text in its batch, which is always 0 here.
fn without_place(message: &str) -> String {
    for name in ["sequence 0", "sentence 0", "input 0", "text 0 (counted from 0)", "text 0"] {
        if let Some(rest) = message.strip_prefix(name) {
            for separator in [": ", ", "] {
                if let Some(rest) = rest.strip_prefix(separator) {
                    return rest.to_owned();
                }
            }
        }
    }
    message.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_batch_of_one_are_left_out() {
        assert_eq!(without_place("sequence 0, position 3: token id 9"), "position 3: token id 9");
        assert_eq!(without_place("input 0: found nothing"), "found nothing");
        assert_eq!(without_place("text 0 (counted from 0): token \"x\""), "token \"x\"");
        assert_eq!(without_place("sequence 07: no"), "sequence 07: no");
    }
}
