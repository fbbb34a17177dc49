//! Where rows go as they are produced.

use std::io::{self, Write};

use lacuna::tasks::Row;
use lacuna_console::stream::Stream;

use super::policy::BadLine;

/// Writes rows in one format.
pub(crate) trait Sink<R> {
    /// Begins a new output.
    fn begin(&mut self, _out: &mut Stream) -> io::Result<()> {
        Ok(())
    }

    /// Goes on after `rows` rows that the output holds already.
    fn resume(&mut self, _rows: u64) {}

    /// Writes a row.
    fn row(&mut self, out: &mut Stream, row: &R) -> io::Result<()>;

    /// Writes the row of a line that gives no result.
    fn null(&mut self, out: &mut Stream, bad: &BadLine) -> io::Result<()>;

    /// Completes the output.
    fn finish(&mut self, _out: &mut Stream) -> io::Result<()> {
        Ok(())
    }
}

/// A JSON object per line.
pub(crate) struct JsonLines {
    /// The field of the result, which is null where there is none.
    pub(crate) result: &'static str,
}

impl<R: Row> Sink<R> for JsonLines {
    fn row(&mut self, out: &mut Stream, row: &R) -> io::Result<()> {
        row.write_json(out)?;
        out.write_all(b"\n")
    }

    fn null(&mut self, out: &mut Stream, bad: &BadLine) -> io::Result<()> {
        serde_json::to_writer(&mut *out, &bad.row(self.result))?;
        out.write_all(b"\n")
    }
}
