//! Reading sentences: one per line, UTF-8.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The lines of a file, or of standard input for `-`.
///
/// # Errors
/// [`Error::Io`]; [`Error::Utf8`] naming the line.
pub fn read_lines(path: &Path) -> Result<Vec<String>> {
    let (path, bytes) = match path == Path::new("-") {
        false => (path.to_owned(), std::fs::read(path)),
        true => {
            let mut bytes = Vec::new();
            (PathBuf::from("standard input"), std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes))
        }
    };
    let bytes = bytes.map_err(Error::io(&path, "read"))?;
    lines(&path, &bytes)
}

/// A line ends with `\n` or `\r\n`, the last one also with the text. An empty line is an empty sentence.
fn lines(path: &Path, bytes: &[u8]) -> Result<Vec<String>> {
    let Some(text) = bytes.strip_suffix(b"\n").or_else(|| (!bytes.is_empty()).then_some(bytes)) else {
        return Ok(Vec::new());
    };
    text.split(|&byte| byte == b'\n')
        .enumerate()
        .map(|(i, line)| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            std::str::from_utf8(line).map(str::to_owned).map_err(|error| {
                let at = error.valid_up_to();
                Error::Utf8 { path: path.to_owned(), line: i + 1, byte: at + 1, found: line[at] }
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Vec<String> {
        lines(Path::new("file"), bytes).unwrap()
    }

    #[test]
    fn lines_are_sentences() {
        assert_eq!(of(b""), [""; 0]);
        assert_eq!(of(b"\n"), [""]);
        assert_eq!(of(b"a\n\nb"), ["a", "", "b"]);
        assert_eq!(of(b"a\r\nb\r\n"), ["a", "b"]);
        assert_eq!(of(b"a\n\n"), ["a", ""]);
    }

    #[test]
    fn invalid_utf8_is_named_by_line_and_byte() {
        let error = lines(Path::new("file"), b"good\nb\xffad\n").unwrap_err().to_string();
        assert_eq!(error, "file: line 2: invalid UTF-8 at byte 2: found 0xff; expected UTF-8 text");
    }
}
