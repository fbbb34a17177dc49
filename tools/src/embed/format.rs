//! What a file of embeddings looks like.

use std::io::{self, Write};

use lacuna::tasks::{EmbedRecord, VectorValues};
use lacuna_console::stream::Stream;

use crate::task::BadLine;

/// Writes vectors in one format.
pub(super) trait Format: Send {
    /// Begins a new output.
    fn begin(&mut self, _out: &mut Stream) -> io::Result<()> {
        Ok(())
    }

    /// Goes on after this many rows.
    fn resume(&mut self, _rows: u64) {}

    /// Writes a row.
    fn row(&mut self, out: &mut Stream, record: &EmbedRecord, values: &VectorValues) -> io::Result<()>;

    /// Writes the row of a line that gives no vector.
    fn null(&mut self, out: &mut Stream, bad: &BadLine) -> io::Result<()>;

    /// Completes the output.
    fn finish(&mut self, _out: &mut Stream) -> io::Result<()> {
        Ok(())
    }
}

/// A JSON object per line.
pub(super) struct JsonVectors;

impl Format for JsonVectors {
    fn row(&mut self, out: &mut Stream, record: &EmbedRecord, values: &VectorValues) -> io::Result<()> {
        match values {
            VectorValues::F32(values) => record.write_json_with(out, "embedding", values)?,
            VectorValues::I8(values) => record.write_json_with(out, "embedding", values)?,
            VectorValues::U8(values) => record.write_json_with(out, "embedding", values)?,
        }
        out.write_all(b"\n")
    }

    fn null(&mut self, out: &mut Stream, bad: &BadLine) -> io::Result<()> {
        serde_json::to_writer(&mut *out, &bad.row("embedding"))?;
        out.write_all(b"\n")
    }
}
