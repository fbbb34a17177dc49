//! Calibration texts that are stored beside a model.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{CalibrationError, Error, Result};
use crate::tokenize::TextInput;

/// The name of the file, in the folder of `config.json`.
/// The name of the file.
pub(crate) const CALIBRATION_FILE: &str = "lacuna-calibration.jsonl";
/// A larger file is refused: 200 texts are enough, and nobody needs so many.
const MAX_BYTES: u64 = 64 << 20;

/// Texts, and pairs of texts, to calibrate on: as they are stored beside a model in `lacuna-calibration.jsonl`.
///
/// A line is an object, `{"text": "A cat sits."}` or `{"text": "Who sits?", "pair": "A cat sits."}`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CalibrationTexts {
    texts: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with \"text\" and, for a pair, \"pair\"")]
struct Line {
    text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pair: Option<String>,
}

impl CalibrationTexts {
    /// Copies of texts.
    pub fn new<'t, T: Into<TextInput<'t>>>(texts: impl IntoIterator<Item = T>) -> CalibrationTexts {
        let line = |TextInput { text, pair }| Line { text: text.to_owned(), pair: pair.map(str::to_owned) };
        CalibrationTexts { texts: texts.into_iter().map(|text| line(text.into())).collect() }
    }

    /// The texts and pairs.
    pub fn inputs(&self) -> Vec<TextInput<'_>> {
        self.texts.iter().map(|line| TextInput { text: &line.text, pair: line.pair.as_deref() }).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The file in a model's folder, whether it is there or not.
    pub fn path_in(folder: &Path) -> PathBuf {
        folder.join(CALIBRATION_FILE)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`CalibrationError::StoredTexts`] for a file that is too large, holds no text, or has a line of another form.
    pub fn read(path: &Path) -> Result<CalibrationTexts> {
        let refused =
            |line, found, expected| CalibrationError::StoredTexts { path: path.to_owned(), line, found, expected };
        let io = |source| Error::Io { path: path.to_owned(), action: "read", source };
        let metadata = std::fs::metadata(path).map_err(io)?;
        if !metadata.is_file() || metadata.len() > MAX_BYTES {
            let found = if metadata.is_file() { format!("{} bytes", metadata.len()) } else { "no regular file".into() };
            return Err(refused(0, found, "a regular file of at most 64 MiB").into());
        }
        let mut texts = Vec::new();
        for (line, number) in BufReader::new(File::open(path).map_err(io)?.take(MAX_BYTES)).lines().zip(1..) {
            let line = line.map_err(|source| match source.kind() {
                io::ErrorKind::InvalidData => refused(number, "invalid UTF-8".into(), FORMAT).into(),
                _ => io(source),
            })?;
            texts.push(serde_json::from_str(&line).map_err(|error| refused(number, error.to_string(), FORMAT))?);
        }
        match texts.is_empty() {
            true => Err(refused(0, "no text".into(), "at least 1, better 200").into()),
            false => Ok(CalibrationTexts { texts }),
        }
    }

    /// Writes one line for each text.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.texts.iter().try_for_each(|line| {
            serde_json::to_writer(&mut *out, line)?;
            writeln!(out)
        })
    }
}

const FORMAT: &str = r#"{"text": "..."} or {"text": "...", "pair": "..."}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = CalibrationTexts::path_in(folder.path());
        let texts = CalibrationTexts::new([
            TextInput::new("A \"cat\"\tsits.\n"),
            TextInput::pair("Who sits?", ""),
            TextInput::new(""),
        ]);
        let mut bytes = Vec::new();
        texts.write(&mut bytes).unwrap();
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(CalibrationTexts::read(&path).unwrap(), texts);
        assert_eq!((texts.len(), texts.inputs()[1].pair), (3, Some("")));
    }

    #[test]
    fn other_files_are_refused_with_their_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = CalibrationTexts::path_in(folder.path());
        for (content, expected) in [
            (&b""[..], "no text"),
            (b"{\"text\": \"a\"}\na cat\n", "line 2"),
            (b"{\"text\": \"a\", \"label\": 1}\n", "unknown field `label`"),
            (b"{\"text\": \"\xff\"}\n", "line 1: found invalid UTF-8"),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = CalibrationTexts::read(&path).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("lacuna-calibration.jsonl"), "{error}");
        }
        assert!(CalibrationTexts::read(folder.path()).unwrap_err().to_string().contains("no regular file"));
    }
}
