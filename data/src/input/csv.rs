//! Rows of comma-separated values, one at a time, with their lines.

use std::io;

use super::columns::{Choice, Columns, Mismatch};
use super::entry::{Content, Defect, Entry, utf8};
use super::lines::{Line, Lines, without_return};

/// Reads rows. A row ends at a line end outside of quotation marks.
pub(crate) struct Csv {
    pub(crate) lines: Lines,
    separator: u8,
    columns: Columns,
    choice: Option<Choice>,
    /// The first row, if it is no header.
    first: Option<(u64, Row)>,
}

/// Where a scan of a row stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Plain,
    Quoted,
    QuoteInQuoted,
}

/// A row, or why there is none.
type Row = Result<Vec<Vec<u8>>, Defect>;

impl Csv {
    pub(crate) fn new(lines: Lines, separator: u8, columns: Columns) -> Csv {
        Csv { lines, separator, columns, choice: None, first: None }
    }

    /// What the first row decides: which columns are read. Reads that row.
    ///
    /// # Errors
    /// The message for columns that the header lacks.
    pub(crate) fn choose(&mut self) -> io::Result<Result<(), Mismatch>> {
        if self.choice.is_some() {
            return Ok(Ok(()));
        }
        let row = self.row()?;
        let names: Vec<String> = match &row {
            Some((_, Ok(cells))) => cells.iter().map(|cell| String::from_utf8_lossy(cell).trim().to_owned()).collect(),
            _ => Vec::new(),
        };
        match self.columns.choose(&names, row.is_none()) {
            Err(message) => return Ok(Err(message)),
            Ok(choice) => {
                self.first = row.filter(|(_, row)| row.is_err() || !choice.has_header);
                self.choice = Some(choice);
            }
        }
        Ok(Ok(()))
    }

    /// What was chosen, in words.
    pub(crate) fn about(&self) -> &str {
        self.choice.as_ref().map_or("", |choice| &choice.about)
    }

    pub(crate) fn next(&mut self) -> io::Result<Option<Entry>> {
        let (line, row) = match self.first.take() {
            Some(row) => row,
            None => match self.row()? {
                Some(row) => row,
                None => return Ok(None),
            },
        };
        let content = row.and_then(|cells| self.pick(cells));
        Ok(Some(Entry { line, content }))
    }

    /// The texts of the chosen columns.
    fn pick(&self, mut cells: Vec<Vec<u8>>) -> Result<Content, Defect> {
        let chosen: &[usize] = self.choice.as_ref().map_or(&[0], |choice| &choice.places);
        let text = |&place: &usize| {
            let found = cells.len();
            let cell = cells.get_mut(place).ok_or(Defect::Columns { found, expected: place + 1 })?;
            utf8(std::mem::take(cell))
        };
        chosen.iter().map(text).collect::<Result<_, _>>().map(Content::Texts)
    }

    fn row(&mut self) -> io::Result<Option<(u64, Row)>> {
        let limit = self.lines.limit();
        let (first, mut bytes) = loop {
            match self.lines.next()? {
                None => return Ok(None),
                Some((line, Line::TooLong(found))) => return Ok(Some((line, Err(Defect::TooLong { found, limit })))),
                Some((_, Line::Bytes(bytes))) if matches!(&bytes[..], b"" | b"\r") => {} // an empty line is no row
                Some((line, Line::Bytes(bytes))) => break (line, bytes),
            }
        };
        let mut state = scan(State::FieldStart, &bytes, self.separator);
        while state == State::Quoted {
            match self.lines.next()? {
                None => return Ok(Some((first, Err(Defect::Quote)))),
                Some((_, Line::TooLong(found))) => {
                    let found = found + bytes.len() as u64;
                    return Ok(Some((first, Err(Defect::TooLong { found, limit }))));
                }
                Some((_, Line::Bytes(more))) => {
                    bytes.push(b'\n');
                    state = scan(state, &more, self.separator);
                    bytes.extend(more);
                }
            }
            if bytes.len() > limit {
                let found = bytes.len() as u64;
                return Ok(Some((first, Err(Defect::TooLong { found, limit }))));
            }
        }
        let bytes = without_return(bytes);
        Ok(Some((first, Ok(cells(&bytes, self.separator)))))
    }
}

/// Where the scan stands after these bytes of a row.
fn scan(mut state: State, bytes: &[u8], separator: u8) -> State {
    for &byte in bytes {
        state = match (state, byte) {
            (State::FieldStart | State::QuoteInQuoted, b'"') => State::Quoted,
            (State::Quoted, b'"') => State::QuoteInQuoted,
            (State::Quoted, _) => State::Quoted,
            (_, byte) if byte == separator => State::FieldStart,
            _ => State::Plain,
        };
    }
    state
}

/// The fields of one row.
fn cells(row: &[u8], separator: u8) -> Vec<Vec<u8>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(separator).from_reader(row);
    // Reading bytes from memory does not fail.
    let record = reader.byte_records().next().and_then(Result::ok).unwrap_or_default();
    record.iter().map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::wait::Wait;

    type Entries = Vec<(u64, Result<Content, Defect>)>;

    fn of(bytes: &'static [u8], chosen: &[&str]) -> Result<Entries, Mismatch> {
        let chosen: Vec<String> = chosen.iter().map(|name| (*name).to_owned()).collect();
        let columns = Columns::new(&chosen, &["text", "pair"], 1).unwrap();
        let mut csv = Csv::new(Lines::new(Box::new(bytes), Wait::Never, 30), b',', columns);
        csv.choose().unwrap()?;
        let mut all = Vec::new();
        while let Some(entry) = csv.next().unwrap() {
            all.push((entry.line, entry.content));
        }
        Ok(all)
    }

    fn texts(texts: &[&str]) -> Result<Content, Defect> {
        Ok(Content::Texts(texts.iter().map(|text| (*text).to_owned()).collect()))
    }

    #[test]
    fn rows_keep_their_lines_and_quotes() {
        let found = of(b"a,b\n\"x\ny\",\"say \"\"hi\"\"\"\r\n5\" disk,c\n\nlast", &["1"]).unwrap();
        let expected = [(1, "a"), (2, "x\ny"), (4, "5\" disk"), (6, "last")];
        assert_eq!(found, expected.map(|(line, text)| (line, texts(&[text]))));
        let found = of(b"n,pair,text\n1,b,a\n2,\"d\ne\",c\n", &[]).unwrap();
        assert_eq!(found, [(2, texts(&["a", "b"])), (3, texts(&["c", "d\ne"]))]);
    }

    #[test]
    fn bad_rows_are_named_and_the_next_one_is_read() {
        let found =
            of(b"text,pair\na\n\"b\xff\",c\nok,d\n0123456789012345678901234567890123,e\n\"open\n", &["text", "pair"]);
        let expected = [
            (2, Err(Defect::Columns { found: 1, expected: 2 })),
            (3, Err(Defect::Utf8 { byte: 2, found: 0xff })),
            (4, texts(&["ok", "d"])),
            (5, Err(Defect::TooLong { found: 36, limit: 30 })),
            (6, Err(Defect::Quote)),
        ];
        assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn a_bad_first_row_is_not_lost() {
        let found = of(b"0123456789012345678901234567890123,e\nok\n", &[]).unwrap();
        assert_eq!(found, [(1, Err(Defect::TooLong { found: 36, limit: 30 })), (2, texts(&["ok"]))]);
    }

    #[test]
    fn columns_that_are_not_there_are_refused() {
        assert!(of(b"a,b\n1,2\n", &["text"]).unwrap_err().1.contains("\"a\", \"b\""));
    }
}
