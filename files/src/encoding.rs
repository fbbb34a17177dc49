//! The encoding of a text file.

use std::fmt;

/// An encoding that text files are found in, and that is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// UTF-16, as Windows programs write it.
    Utf16,
    /// A gzip archive.
    Gzip,
    /// A Zstandard archive.
    Zstd,
    /// Bytes that are no UTF-8, of which the first is here.
    Unknown {
        /// Index of the first byte that is not UTF-8.
        at: usize,
    },
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Encoding::Utf16 => f.write_str("text in UTF-16"),
            Encoding::Gzip => f.write_str("a gzip archive"),
            Encoding::Zstd => f.write_str("a zstd archive"),
            Encoding::Unknown { at } => write!(f, "text that is not UTF-8 (from byte {at} on)"),
        }
    }
}

/// The mark at the start of UTF-8 that some editors write.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The text of a file, without a byte order mark.
///
/// # Errors
/// What it is, if it is not UTF-8.
pub fn utf8(bytes: &[u8]) -> Result<&str, Encoding> {
    let is_utf16 = |bytes: &[u8]| {
        // With a mark, or one character of ASCII: no text in UTF-8 has a zero byte in its first two bytes.
        matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 1..=0xff, ..] | [1..=0xff, 0, ..])
    };
    match bytes {
        [0x1f, 0x8b, ..] => Err(Encoding::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Err(Encoding::Zstd),
        _ if is_utf16(bytes) => Err(Encoding::Utf16),
        _ => std::str::from_utf8(bytes.strip_prefix(MARK).unwrap_or(bytes))
            .map_err(|error| Encoding::Unknown { at: error.valid_up_to() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_told_apart() {
        assert_eq!(utf8(b""), Ok(""));
        assert_eq!(utf8("\u{feff}{}".as_bytes()), Ok("{}"));
        assert_eq!(utf8(b"\xff\xfe{\0"), Err(Encoding::Utf16));
        assert_eq!(utf8(b"{\0}\0"), Err(Encoding::Utf16));
        assert_eq!(utf8(b"\0{\0}"), Err(Encoding::Utf16));
        assert_eq!(utf8(b"\x1f\x8b\x08"), Err(Encoding::Gzip));
        assert_eq!(utf8(b"\x28\xb5\x2f\xfd"), Err(Encoding::Zstd));
        assert_eq!(utf8(b"abc\xe9"), Err(Encoding::Unknown { at: 3 }));
    }
}
