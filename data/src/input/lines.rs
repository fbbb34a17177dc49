//! Lines of bytes, read in pieces: a bound on their length, and whether the next one is already there.

use std::io::{self, Read};

use super::wait::Wait;

/// Bytes that are read at a time.
const PIECE: usize = 64 << 10;
/// U+FEFF in UTF-8. Editors write it at the beginning of a file; joined files have it at the beginning of a line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Splits a stream at `\n`. Memory is bounded by the limit and one piece: the bytes of a longer line are counted and dropped.
pub(crate) struct Lines {
    input: Box<dyn Read + Send>,
    wait: Wait,
    buffer: Vec<u8>,
    /// Where the next line begins in `buffer`.
    start: usize,
    /// Bytes of `buffer` in which no further `\n` is.
    searched: usize,
    /// Bytes of the present line that were dropped.
    dropped: u64,
    at_end: bool,
    limit: usize,
    line: u64,
}

/// A line without its `\n`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Its bytes, with a `\r` before the `\n` if there is one.
    Bytes(Vec<u8>),
    /// Longer than the limit: this many bytes.
    TooLong(u64),
}

impl Lines {
    pub(crate) fn new(input: Box<dyn Read + Send>, wait: Wait, limit: usize) -> Lines {
        let (buffer, start, searched) = (Vec::new(), 0, 0);
        Lines { input, wait, buffer, start, searched, dropped: 0, at_end: false, limit, line: 0 }
    }

    /// The longest line in bytes.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// The first bytes of the stream, before any line is taken: up to `count`, fewer at the end.
    pub(crate) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.buffer.len() < count && !self.at_end {
            // Somebody types, or a filter answers line by line: the first line is enough.
            if self.buffer.contains(&b'\n') && !self.wait.has_input() {
                break;
            }
            self.read_piece()?;
        }
        Ok(&self.buffer[..count.min(self.buffer.len())])
    }

    /// The next line with its number from 1; `None` at the end. Waits for it.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Line)>> {
        loop {
            if let Some(line) = self.take() {
                self.line += 1;
                return Ok(Some((self.line, line)));
            }
            if self.at_end {
                return Ok(None);
            }
            self.read_piece()?;
        }
    }

    /// Whether [`Lines::next`] would answer without waiting for more input.
    pub(crate) fn is_ready(&mut self) -> io::Result<bool> {
        loop {
            if self.at_end || self.find_end().is_some() {
                return Ok(true);
            }
            if !self.wait.has_input() {
                return Ok(false);
            }
            self.read_piece()?;
        }
    }

    fn read_piece(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        let filled = self.buffer.len();
        self.buffer.resize(filled + PIECE, 0);
        let read = loop {
            match self.input.read(&mut self.buffer[filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(filled + *read.as_ref().unwrap_or(&0));
        self.at_end = read? == 0;
        Ok(())
    }

    /// The place of the next `\n`. Drops what is over the limit.
    fn find_end(&mut self) -> Option<usize> {
        let found = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n');
        if let Some(place) = found {
            self.searched += place;
            return Some(self.searched);
        }
        self.searched = self.buffer.len();
        let open = self.buffer.len() - self.start;
        if self.dropped > 0 || open > self.limit {
            self.dropped += open as u64;
            self.start = self.buffer.len();
        }
        None
    }

    /// The next line, if the buffer holds all of it.
    fn take(&mut self) -> Option<Line> {
        let (end, next) = match self.find_end() {
            Some(end) => (end, end + 1),
            None if self.at_end => (self.buffer.len(), self.buffer.len()),
            None => return None,
        };
        let is_last = end == next;
        let line = &self.buffer[self.start..end];
        let (bytes, dropped) = (line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line), self.dropped);
        if is_last && bytes.is_empty() && dropped == 0 {
            return None; // a line ends with `\n`, and nothing follows the last one
        }
        let length = dropped + bytes.len() as u64;
        let line = match dropped == 0 && bytes.len() <= self.limit {
            true => Line::Bytes(bytes.to_vec()),
            false => Line::TooLong(length),
        };
        (self.start, self.searched, self.dropped) = (next, next, 0);
        Some(line)
    }
}

/// Without the `\r` of a line end `\r\n`.
pub(crate) fn without_return(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives few bytes at a time.
    struct Slow(&'static [u8], usize);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(self.1).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn of(bytes: &'static [u8], piece: usize, limit: usize) -> Vec<Result<String, u64>> {
        let mut lines = Lines::new(Box::new(Slow(bytes, piece)), Wait::Never, limit);
        let mut all = Vec::new();
        while let Some((number, line)) = lines.next().unwrap() {
            all.push(match line {
                Line::Bytes(bytes) => Ok(String::from_utf8(without_return(bytes)).unwrap()),
                Line::TooLong(length) => Err(length),
            });
            assert_eq!(number, all.len() as u64);
        }
        all
    }

    #[test]
    fn lines_are_the_same_in_pieces_of_every_size() {
        for piece in [1, 2, 3, 7, 1000] {
            let of = |bytes| of(bytes, piece, 100).into_iter().map(Result::unwrap).collect::<Vec<_>>();
            assert_eq!(of(b""), [""; 0]);
            assert_eq!(of(b"\n"), [""]);
            assert_eq!(of(b"a\n\nb"), ["a", "", "b"]);
            assert_eq!(of(b"a\r\nb\r\n"), ["a", "b"]);
            assert_eq!(of(b"a\n\n"), ["a", ""]);
            assert_eq!(of(b"\xef\xbb\xbfa\n\xef\xbb\xbfb"), ["a", "b"]);
            assert_eq!(of(b"\xef\xbb\xbf"), [""; 0]);
        }
    }

    #[test]
    fn a_line_over_the_limit_is_counted_and_the_next_one_read() {
        for piece in [1, 2, 3, 4, 5, 1000] {
            let expected = [Ok("abcd".to_owned()), Err(5), Ok(String::new()), Err(9), Ok("ok".to_owned())];
            assert_eq!(of(b"abcd\nabcde\n\nabcdefghi\nok", piece, 4), expected, "{piece}");
            assert_eq!(of(b"abcde", piece, 4), [Err(5)], "{piece}");
        }
    }

    #[test]
    fn memory_is_bounded_whatever_the_line() {
        let mut lines = Lines::new(Box::new(io::repeat(b'a').take(50 << 20)), Wait::Never, 1000);
        assert_eq!(lines.next().unwrap(), Some((1, Line::TooLong(50 << 20))));
        assert!(lines.buffer.capacity() < 1 << 20);
        assert_eq!(lines.next().unwrap(), None);
    }
}
