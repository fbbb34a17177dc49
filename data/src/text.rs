//! Reading all texts of a file at once: for calibration, which needs all of them.

use std::path::Path;

use crate::error::{Error, Result};
use crate::input::{Content, Input, InputOptions};
use crate::words::plural;

/// Longest text in bytes that is read without an option that raises it.
pub const TEXT_BYTES: usize = 1 << 20;

/// The lines of a file, or of standard input for `-`; of a table the column that [`read_texts`] reads; lines of JSON as they are.
///
/// A line ends with `\n` or `\r\n`, the last one also with the text. An empty line is an empty sentence. Files whose names end in `.gz` and `.zst` are
/// unpacked. Byte order marks are skipped.
///
/// # Errors
/// [`Error::Io`]; [`Error::Content`] for other data than text; [`Error::Line`] for a line that is not UTF-8 or too long.
pub fn read_lines(path: &Path) -> Result<Vec<String>> {
    read(path, Ok)
}

/// The texts of a file: the first column of a table, `.csv` or `.tsv`, or the column named "text"; the field "text" of lines of JSON, `.jsonl`; the lines
/// of anything else.
///
/// # Errors
/// Those of [`read_lines`]; [`Error::Line`] for JSON without a text.
pub fn read_texts(path: &Path) -> Result<Vec<String>> {
    read(path, |line| {
        let text =
            serde_json::from_str::<serde_json::Value>(&line).ok().and_then(|mut object| match object["text"].take() {
                serde_json::Value::String(text) => Some(text),
                _ => None,
            });
        text.ok_or_else(|| r#"found no text; expected {"text": "..."}"#.to_owned())
    })
}

/// A file must be a regular one: all of it is read before anything else is done, and a pipe may never end.
fn read(path: &Path, of_json: impl Fn(String) -> Result<String, String>) -> Result<Vec<String>> {
    if path != Path::new("-") {
        lacuna_files::open(path).map_err(Error::unread(path))?;
    }
    let options = InputOptions {
        path,
        kind: None,
        kind_option: "--calibrate",
        columns: &[],
        fields: &["text"],
        required: 1,
        text_bytes: TEXT_BYTES,
    };
    let mut input = Input::open(&options)?;
    input.begin()?;
    let mut texts = Vec::new();
    while let Some(entry) = input.next_entry()? {
        let text = match entry.content {
            Ok(Content::Texts(line)) => Ok(line.into_iter().next().unwrap_or_default()),
            Ok(Content::Json(line)) => of_json(line),
            Err(defect) => Err(defect.to_string()),
        };
        let (path, line) = (input.name(), entry.line);
        texts.push(text.map_err(|reason| Error::Line { path: path.to_owned(), line, reason })?);
    }
    Ok(texts)
}

/// An error of the csv reader, with its line.
pub(crate) fn csv_error(path: &Path, error: &csv::Error) -> Error {
    Error::Row {
        path: path.to_owned(),
        line: error.position().map_or(0, csv::Position::line),
        found: match error.kind() {
            csv::ErrorKind::Utf8 { err, .. } => format!("invalid UTF-8 in field {}", err.field() + 1),
            csv::ErrorKind::UnequalLengths { len, .. } => plural(*len, "field"),
            _ => error.to_string(),
        },
        expected: "comma-separated UTF-8 fields, quoted where they hold commas, the same number in every row",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_utf8_is_named_by_line_and_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"good\nb\xffad\n").unwrap();
        let error = read_lines(&path).unwrap_err().to_string();
        let expected = "file: line 2: invalid UTF-8 at byte 2: found 0xff; expected UTF-8 text";
        assert!(error.ends_with(expected), "{error}");
    }

    #[test]
    fn packed_lines_are_unpacked() {
        use std::io::Write;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("texts.txt.gz");
        let mut file =
            flate2::write::GzEncoder::new(std::fs::File::create(&path).unwrap(), flate2::Compression::fast());
        file.write_all(b"\xef\xbb\xbfa\r\nb").unwrap();
        file.finish().unwrap();
        assert_eq!(read_lines(&path).unwrap(), ["a", "b"]);
        let unnamed = dir.path().join("texts.txt");
        std::fs::copy(&path, &unnamed).unwrap();
        let error = read_lines(&unnamed).unwrap_err().to_string();
        assert!(error.contains("texts.txt: found data compressed by gzip"), "{error}");
    }
}
