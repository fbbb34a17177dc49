//! Columns of text of a Parquet file.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parquet::basic::Type as Physical;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;

use super::columns::{Columns, Mismatch};
use super::entry::{Content, Defect, Entry, utf8};
use crate::error::{Error, Result};

/// The rows of a file.
pub(crate) struct Parquet {
    rows: RowIter<'static>,
    /// Columns of the projection, in the order of the fields.
    order: Vec<usize>,
    names: Vec<String>,
    limit: usize,
    position: Arc<AtomicU64>,
    count: u64,
}

impl Parquet {
    /// Opens a file; also says which columns are read.
    pub(crate) fn open(path: &Path, columns: &Columns, limit: usize) -> Result<(Parquet, String)> {
        let (file, _) = lacuna_files::open(path).map_err(Error::unread(path))?;
        let failed = |error: parquet::errors::ParquetError| Error::io(path, "read")(io_error(&error));
        let reader = SerializedFileReader::new(file).map_err(failed)?;
        let metadata = reader.metadata().file_metadata();
        let (count, schema) = (metadata.num_rows().max(0) as u64, metadata.schema().clone());
        let texts: Vec<String> =
            schema.get_fields().iter().filter(|field| is_text(field)).map(|field| field.name().to_owned()).collect();
        let wrong = |(found, expected): Mismatch| Error::Argument {
            option: "--columns",
            found: format!("{found} ({})", path.display()),
            expected,
        };
        let choice = columns.choose_named(&texts).map_err(wrong)?;
        let names: Vec<String> = choice.places.iter().filter_map(|&place| texts.get(place).cloned()).collect();
        let kept: Vec<_> =
            schema.get_fields().iter().filter(|field| names.iter().any(|name| name == field.name())).cloned().collect();
        let order = names.iter().filter_map(|name| kept.iter().position(|field| field.name() == name)).collect();
        let projection = Type::group_type_builder(schema.name()).with_fields(kept).build().map_err(failed)?;
        let rows = RowIter::from_file_into(Box::new(reader)).project(Some(projection)).map_err(failed)?;
        let about = choice.about;
        Ok((Parquet { rows, order, names, limit, position: Arc::default(), count }, about))
    }

    /// Rows of the file.
    pub(crate) fn rows(&self) -> u64 {
        self.count
    }

    /// Rows that were read.
    pub(crate) fn position(&self) -> Arc<AtomicU64> {
        self.position.clone()
    }

    pub(crate) fn next(&mut self) -> io::Result<Option<Entry>> {
        let row = match self.rows.next() {
            None => return Ok(None),
            Some(row) => row.map_err(|error| io_error(&error))?,
        };
        let line = self.position.fetch_add(1, Relaxed) + 1;
        let mut cells: Vec<Option<Field>> = row.into_columns().into_iter().map(|(_, field)| Some(field)).collect();
        let mut text = |(&place, name): (&usize, &String)| {
            let text = match cells.get_mut(place).and_then(Option::take) {
                Some(Field::Str(text)) => text,
                Some(Field::Bytes(bytes)) => utf8(bytes.data().to_vec())?,
                _ => return Err(Defect::Null { column: name.clone() }),
            };
            match text.len() > self.limit {
                true => Err(Defect::TooLong { found: text.len() as u64, limit: self.limit }),
                false => Ok(text),
            }
        };
        let content = self.order.iter().zip(&self.names).map(&mut text).collect::<Result<_, _>>().map(Content::Texts);
        Ok(Some(Entry { line, content }))
    }
}

fn is_text(field: &Type) -> bool {
    field.is_primitive() && field.get_physical_type() == Physical::BYTE_ARRAY
}

fn io_error(error: &parquet::errors::ParquetError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
