//! What a file is: by its name, and by its first bytes.

use std::path::Path;

/// How an input is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Kind {
    /// One text per line
    Text,
    /// A JSON object per line
    Jsonl,
    /// Comma-separated values
    Csv,
    /// Values separated by tabs
    Tsv,
    /// A Parquet file
    Parquet,
}

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Kind {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Jsonl => "JSON lines",
            Kind::Csv => "CSV",
            Kind::Tsv => "TSV",
            Kind::Parquet => "Parquet",
        }
    }
}

/// What the name of a file says: its kind, if it has one of the known endings, and its compression.
pub(crate) fn of_name(path: &Path) -> (Option<Kind>, Packing) {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let (name, packing) = match (name.strip_suffix(".gz"), name.strip_suffix(".zst")) {
        (Some(rest), _) => (rest.to_owned(), Packing::Gzip),
        (_, Some(rest)) => (rest.to_owned(), Packing::Zstd),
        _ => (name.clone(), Packing::None),
    };
    let kind = match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("txt") => Some(Kind::Text),
        Some("jsonl" | "ndjson") => Some(Kind::Jsonl),
        Some("csv") => Some(Kind::Csv),
        Some("tsv") => Some(Kind::Tsv),
        Some("parquet") => Some(Kind::Parquet),
        _ => None,
    };
    (kind, packing)
}

/// Endings of files that hold no lines of text, and what to do with them.
pub(crate) fn refused_name(path: &Path) -> Option<&'static str> {
    let ending = path.extension()?.to_string_lossy().to_ascii_lowercase();
    Some(match &*ending {
        "json" => "a JSON document; expected JSON lines, one object per line: with jq, jq -c '.[]' FILE > FILE.jsonl",
        "xlsx" | "xls" | "ods" => "a spreadsheet; expected a table: export it as .csv",
        "npy" | "npz" => "a NumPy array; expected texts",
        "pdf" | "docx" | "doc" | "odt" => "a document; expected plain text",
        "zip" | "tar" | "7z" | "xz" | "bz2" | "tgz" => "an archive; expected a file that is plain, .gz or .zst",
        _ => return None,
    })
}

/// What the first bytes of a stream are, if they are no text: with a remedy.
pub(crate) fn of_bytes(first: &[u8]) -> Option<&'static str> {
    const MAGIC: [(&[u8], &str); 12] = [
        (
            b"\x1f\x8b",
            "data compressed by gzip; expected text: give a file whose name ends in .gz, or unpack it with zcat",
        ),
        (
            b"\x28\xb5\x2f\xfd",
            "data compressed by zstd; expected text: give a file whose name ends in .zst, or unpack it with zstdcat",
        ),
        (b"PAR1", "a Parquet file; expected text: give a file whose name ends in .parquet"),
        (b"\xff\xfe", "UTF-16 text; expected UTF-8: convert it with iconv -f UTF-16 -t UTF-8"),
        (b"\xfe\xff", "UTF-16 text; expected UTF-8: convert it with iconv -f UTF-16 -t UTF-8"),
        (b"BZh", "data compressed by bzip2; expected text: unpack it with bzcat"),
        (b"\xfd7zXZ\0", "data compressed by xz; expected text: unpack it with xzcat"),
        (b"PK\x03\x04", "a zip archive; expected text: unpack it first"),
        (b"\x93NUMPY", "a NumPy array; expected text"),
        (b"%PDF-", "a PDF document; expected plain text"),
        (b"SQLite format 3\0", "an SQLite database; expected text"),
        (b"\x7fELF", "a program; expected text"),
    ];
    if let Some((_, what)) = MAGIC.iter().find(|(magic, _)| first.starts_with(magic)) {
        return Some(what);
    }
    // Without a mark: every second byte of Latin text is 0. One 0 in a text proves nothing.
    let zeros = |from: usize| first.iter().skip(from).step_by(2).filter(|&&byte| byte == 0).count();
    let half = first.len() / 2;
    if half >= 2 && (zeros(0) * 2 > half || zeros(1) * 2 > half) {
        return Some(match zeros(0) > 0 && zeros(1) > 0 {
            true => "binary data; expected text",
            false => {
                "UTF-16 text without a byte order mark; expected UTF-8: convert it with iconv -f UTF-16LE -t UTF-8"
            }
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_kind() {
        for (name, kind, packing) in [
            ("a.txt", Some(Kind::Text), Packing::None),
            ("a.CSV", Some(Kind::Csv), Packing::None),
            ("dir.csv/a", None, Packing::None),
            ("a.jsonl.gz", Some(Kind::Jsonl), Packing::Gzip),
            ("a.b.ndjson", Some(Kind::Jsonl), Packing::None),
            ("a.tsv.zst", Some(Kind::Tsv), Packing::Zstd),
            ("a.gz", None, Packing::Gzip),
            ("csv", None, Packing::None),
            ("a.parquet", Some(Kind::Parquet), Packing::None),
        ] {
            assert_eq!(of_name(Path::new(name)), (kind, packing), "{name}");
        }
        assert!(refused_name(Path::new("a.JSON")).is_some_and(|what| what.contains("jq")));
        assert!(refused_name(Path::new("a.log")).is_none());
    }

    #[test]
    fn other_data_than_text_is_named() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        for (bytes, expected) in [
            (b"\x1f\x8b\x08\0".to_vec(), "gzip"),
            (b"PAR1\x15".to_vec(), "Parquet"),
            ([&b"\xff\xfe"[..], &utf16("a")].concat(), "UTF-16"),
            (utf16("A cat sits."), "UTF-16 text without"),
            (vec![0; 20], "binary"),
        ] {
            assert!(of_bytes(&bytes).is_some_and(|what| what.contains(expected)), "{bytes:?}");
        }
        for text in ["", "a", "A cat sits.", "a\0b, one zero alone", "日本語", "BZ"] {
            assert_eq!(of_bytes(text.as_bytes()), None, "{text}");
        }
    }
}
