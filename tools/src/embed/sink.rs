//! From embeddings to what is written: fewer features, fewer bits, one of the formats.

use std::io;

use lacuna::tasks::{EmbedRow, VectorPrecision, VectorRanges, shorten};
use lacuna_console::remarks::warn;
use lacuna_console::stream::Stream;
use lacuna_console::table::plural;

use super::format::Format;
use crate::task::{BadLine, Sink};

/// Vectors from which ranges are taken without a warning.
const ENOUGH: usize = 100;

/// Writes embeddings.
pub(super) struct EmbedSink {
    pub(super) dimensions: Option<usize>,
    /// Whether shortened vectors are normalised.
    pub(super) normalize: bool,
    pub(super) precision: VectorPrecision,
    pub(super) ranges: Option<VectorRanges>,
    pub(super) format: Box<dyn Format>,
    /// Rows that wait for the ranges, which all of them decide.
    pub(super) waiting: Vec<Waiting>,
}

/// A row that waits.
pub(super) enum Waiting {
    Row(EmbedRow),
    Null(BadLine),
}

impl EmbedSink {
    fn waits(&self) -> bool {
        self.precision.needs_ranges() && self.ranges.is_none()
    }

    fn write(&mut self, out: &mut Stream, row: &EmbedRow) -> io::Result<()> {
        let values = self.precision.quantize(&row.embedding, self.ranges.as_ref());
        self.format.row(out, &row.record, &values)
    }
}

impl Sink<EmbedRow> for EmbedSink {
    fn begin(&mut self, out: &mut Stream) -> io::Result<()> {
        self.format.begin(out)
    }

    fn resume(&mut self, rows: u64) {
        self.format.resume(rows);
    }

    fn row(&mut self, out: &mut Stream, row: &EmbedRow) -> io::Result<()> {
        let mut row = row.clone();
        if let Some(dimensions) = self.dimensions {
            shorten(&mut row.embedding, dimensions, self.normalize);
        }
        match self.waits() {
            true => {
                self.waiting.push(Waiting::Row(row));
                Ok(())
            }
            false => self.write(out, &row),
        }
    }

    fn null(&mut self, out: &mut Stream, bad: &BadLine) -> io::Result<()> {
        match self.waits() {
            true => {
                self.waiting.push(Waiting::Null(bad.clone()));
                Ok(())
            }
            false => self.format.null(out, bad),
        }
    }

    fn finish(&mut self, out: &mut Stream) -> io::Result<()> {
        if self.waits() {
            let waiting = std::mem::take(&mut self.waiting);
            let vectors = || {
                waiting.iter().filter_map(|waiting| match waiting {
                    Waiting::Row(row) => Some(&row.embedding[..]),
                    Waiting::Null(_) => None,
                })
            };
            let count = vectors().count();
            if (1..ENOUGH).contains(&count) {
                let precision = self.precision;
                warn(format_args!(
                    "--precision {precision}: the ranges are those of {} only; --ranges FILE takes those of more",
                    plural(count, "vector")
                ));
            }
            self.ranges = VectorRanges::of(vectors());
            for waiting in &waiting {
                match waiting {
                    Waiting::Row(row) => self.write(out, row)?,
                    Waiting::Null(bad) => self.format.null(out, bad)?,
                }
            }
        }
        self.format.finish(out)
    }
}
