//! Embeddings as a Parquet file: a column `text` of strings and a column `embedding` of lists, both null where a line gives none.

use std::io::{self, Write};
use std::sync::Arc;

use lacuna::tasks::{EmbedRecord, VectorPrecision, VectorValues};
use lacuna_console::error::{Error, Result};
use lacuna_console::stream::Stream;
use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::format::Format;
use crate::task::BadLine;

/// Rows of a row group.
const GROUP_ROWS: usize = 8192;
/// Definition levels of `embedding`: no list, and a list with an element.
const NO_LIST: i16 = 0;
const ELEMENT: i16 = 2;

/// Collects rows and writes them group by group.
pub(super) struct Parquet {
    /// `None` after the end. What it has written is taken out of its buffer after each group.
    writer: Option<SerializedFileWriter<Vec<u8>>>,
    rows: Vec<(Option<String>, Option<VectorValues>)>,
}

impl Parquet {
    pub(super) fn new(precision: VectorPrecision) -> Result<Parquet> {
        let element = match precision {
            VectorPrecision::F32 => "FLOAT element",
            VectorPrecision::Int8 | VectorPrecision::Binary => "INT32 element (INTEGER(8,true))",
            VectorPrecision::Uint8 | VectorPrecision::Ubinary => "INT32 element (INTEGER(8,false))",
        };
        let schema = format!(
            "message embeddings {{ OPTIONAL BYTE_ARRAY text (UTF8); \
             OPTIONAL group embedding (LIST) {{ REPEATED group list {{ REQUIRED {element}; }} }} }}"
        );
        let failed = |error: ParquetError| Error::Engine(Box::new(error));
        let schema = Arc::new(parse_message_type(&schema).map_err(failed)?);
        let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
        let writer = SerializedFileWriter::new(Vec::new(), schema, properties).map_err(failed)?;
        Ok(Parquet { writer: Some(writer), rows: Vec::new() })
    }

    fn add(&mut self, out: &mut Stream, text: Option<String>, values: Option<VectorValues>) -> io::Result<()> {
        self.rows.push((text, values));
        if self.rows.len() < GROUP_ROWS { Ok(()) } else { self.group(out) }
    }

    /// Writes the collected rows.
    fn group(&mut self, out: &mut Stream) -> io::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let (Some(writer), false) = (&mut self.writer, rows.is_empty()) else { return Ok(()) };
        write_group(writer, &rows).map_err(io::Error::other)?;
        writer.flush()?;
        out.write_all(&std::mem::take(writer.inner_mut()))
    }
}

fn write_group(
    writer: &mut SerializedFileWriter<Vec<u8>>,
    rows: &[(Option<String>, Option<VectorValues>)],
) -> Result<(), ParquetError> {
    let mut group = writer.next_row_group()?;
    while let Some(mut column) = group.next_column()? {
        match column.untyped() {
            ColumnWriter::ByteArrayColumnWriter(typed) => {
                let texts: Vec<ByteArray> =
                    rows.iter().filter_map(|(text, _)| text.as_deref().map(ByteArray::from)).collect();
                let levels: Vec<i16> = rows.iter().map(|(text, _)| i16::from(text.is_some())).collect();
                typed.write_batch(&texts, Some(&levels), None)?;
            }
            ColumnWriter::FloatColumnWriter(typed) => {
                let (values, defined, repeated) = flatten(rows, |values| match values {
                    VectorValues::F32(values) => values.clone(),
                    _ => Vec::new(),
                });
                typed.write_batch(&values, Some(&defined), Some(&repeated))?;
            }
            ColumnWriter::Int32ColumnWriter(typed) => {
                let (values, defined, repeated) = flatten(rows, |values| match values {
                    VectorValues::I8(values) => values.iter().map(|&value| value.into()).collect(),
                    VectorValues::U8(values) => values.iter().map(|&value| value.into()).collect(),
                    VectorValues::F32(_) => Vec::new(),
                });
                typed.write_batch(&values, Some(&defined), Some(&repeated))?;
            }
            _ => return Err(ParquetError::General("a column of another type than the schema has".into())),
        }
        column.close()?;
    }
    group.close().map(|_| ())
}

/// The elements of all lists, with their definition and repetition levels.
fn flatten<V>(
    rows: &[(Option<String>, Option<VectorValues>)],
    of: impl Fn(&VectorValues) -> Vec<V>,
) -> (Vec<V>, Vec<i16>, Vec<i16>) {
    let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    for (_, list) in rows {
        let Some(list) = list.as_ref().map(&of) else {
            defined.push(NO_LIST);
            repeated.push(0);
            continue;
        };
        defined.extend(list.iter().map(|_| ELEMENT));
        repeated.extend((0..list.len()).map(|i| i16::from(i > 0)));
        values.extend(list);
    }
    (values, defined, repeated)
}

impl Format for Parquet {
    fn row(&mut self, out: &mut Stream, record: &EmbedRecord, values: &VectorValues) -> io::Result<()> {
        self.add(out, Some(record.text().to_owned()), Some(values.clone()))
    }

    fn null(&mut self, out: &mut Stream, bad: &BadLine) -> io::Result<()> {
        self.add(out, bad.text(), None)
    }

    fn finish(&mut self, out: &mut Stream) -> io::Result<()> {
        self.group(out)?;
        let Some(writer) = self.writer.take() else { return Ok(()) };
        out.write_all(&writer.into_inner().map_err(io::Error::other)?)
    }
}
