//! What comes out of an input: one entry for each line, row or object.

use crate::words::plural;

/// A line of a text file, a row of a table, or a JSON object on a line, in the order of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 1: of the line where it begins, or of the row in a Parquet file.
    pub line: u64,
    /// What it holds, or why it cannot be read.
    pub content: Result<Content, Defect>,
}

/// What an entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The texts of the chosen columns; one text for a line.
    Texts(Vec<String>),
    /// A line that should be a JSON object. It is not parsed yet.
    Json(String),
}

impl Content {
    /// Its size in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Content::Texts(texts) => texts.iter().map(String::len).sum(),
            Content::Json(line) => line.len(),
        }
    }
}

/// Why an entry cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// Bytes that are not UTF-8.
    #[error("invalid UTF-8 at byte {byte}: found {found:#04x}; expected UTF-8 text")]
    Utf8 {
        /// Position in the line, from 1.
        byte: usize,
        /// The byte there.
        found: u8,
    },
    /// More bytes than are read at once.
    #[error("found {found} bytes; expected at most {limit}")]
    TooLong {
        /// Its length.
        found: u64,
        /// The limit.
        limit: usize,
    },
    /// A row that lacks a column.
    #[error("found {}; expected at least {expected}", plural(*found, "column"))]
    Columns {
        /// How many there are.
        found: usize,
        /// How many are needed.
        expected: usize,
    },
    /// A quoted field that does not end.
    #[error("found a quoted field that does not end; expected a closing quotation mark")]
    Quote,
    /// A cell without a value.
    #[error("found no value in column {column:?}; expected a text")]
    Null {
        /// The column.
        column: String,
    },
}

/// The text of a line's bytes.
pub(crate) fn utf8(bytes: Vec<u8>) -> Result<String, Defect> {
    String::from_utf8(bytes).map_err(|error| {
        let byte = error.utf8_error().valid_up_to();
        Defect::Utf8 { byte: byte + 1, found: error.as_bytes()[byte] }
    })
}
